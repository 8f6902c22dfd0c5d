import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FaultRing } from './fault-ring.ts';

const SLOTS = FaultRing.WORDS - 1;

function share(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(FaultRing.WORDS * 4));
}

test('who takes gets what was added since, in its order, or the last of it when that is more than there is room for', () => {
  const batches = fc.array(fc.array(fc.nat(2 ** 31 - 1), { maxLength: 2 * SLOTS }), { maxLength: 8 });
  fc.assert(
    fc.property(batches, (added) => {
      const words = share();
      const [there, here] = [new FaultRing(words), new FaultRing(words)];
      const taken = added.map((pages) => {
        for (const page of pages) there.add(page);
        return here.take();
      });
      expect(taken).toEqual(added.map((pages) => pages.slice(-SLOTS)));
    }),
  );
});

test('the count may run over', () => {
  const words = share();
  words[0] = 2 ** 31 - 2;
  const [there, here] = [new FaultRing(words), new FaultRing(words)];
  for (const page of [1, 2, 3, 4]) there.add(page);
  expect(here.take()).toEqual([1, 2, 3, 4]);
  expect(words[0]).toBeLessThan(0);
});

test('what was added before it was opened is not taken', () => {
  const words = share();
  new FaultRing(words).add(7);
  const late = new FaultRing(words);
  expect(late.take()).toEqual([]);
});
