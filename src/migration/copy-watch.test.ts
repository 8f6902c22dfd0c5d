import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import type { GodwitError } from '../base/errors.ts';
import { CopyWatch } from './copy-watch.ts';

function trial() {
  const clock = new FakeClock();
  const channels = { bytesSent: 0, unacknowledgedBytes: 0 };
  const drops: string[] = [];
  const link = {
    bytesReceived: 0,
    connection: { peer: 'there' },
    ask: () => undefined,
    drop: ({ code }: GodwitError) => void drops.push(code),
  };
  const suspicions: boolean[] = [];
  const watch = new CopyWatch({ channels, link, onSuspect: (isSuspect) => suspicions.push(isSuspect) }, clock);
  return {
    watch,
    channels,
    drops,
    suspicions,
    pass(seconds: number, { answers = true, takesBytes = 0 } = {}): void {
      for (let second = 0; second < seconds; second++) {
        clock.advance(1000);
        if (answers) link.bytesReceived += 10;
        channels.unacknowledgedBytes = Math.max(0, channels.unacknowledgedBytes - takesBytes);
        watch.look();
      }
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

test('a destination that owes nothing may be left alone for as long as one likes', () => {
  using copy = trial();
  copy.pass(600);
  expect(copy.drops).toEqual([]);
});

test('one that says nothing is suspected, cleared by a word, and given up after 15 s', () => {
  using copy = trial();
  copy.pass(5, { answers: false });
  copy.pass(1);
  copy.pass(15, { answers: false });
  expect(copy.suspicions).toEqual([true, false, true]);
  expect(copy.drops).toEqual(['GW_WIRE_TIMEOUT']);
});

test('one that answers but does not confirm a round is given up after 30 s', () => {
  using copy = trial();
  copy.watch.awaited(new Promise(() => undefined)).catch(() => undefined);
  copy.pass(29);
  expect(copy.drops).toEqual([]);
  copy.pass(1);
  expect(copy.drops).toEqual(['GW_WIRE_STALLED']);
});

test('a round that is confirmed, and one that follows at once, are two', async () => {
  using copy = trial();
  const first = Promise.withResolvers<void>();
  const confirmed = copy.watch.awaited(first.promise);
  copy.pass(20);
  first.resolve();
  await confirmed;
  copy.watch.awaited(new Promise(() => undefined)).catch(() => undefined);
  copy.pass(20);
  expect(copy.drops).toEqual([]);
});

test('one that answers but takes no page is given up; one that takes a little now and then is not', () => {
  using slow = trial();
  Object.assign(slow.channels, { bytesSent: 1000, unacknowledgedBytes: 1000 });
  for (let i = 0; i < 9; i++) {
    slow.pass(25);
    slow.pass(1, { takesBytes: 100 });
  }
  expect(slow.drops).toEqual([]);
  slow.pass(30);
  expect(slow.drops).toEqual(['GW_WIRE_STALLED']);
});
