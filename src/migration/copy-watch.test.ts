import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import type { GodwitError } from '../base/errors.ts';
import { CopyWatch } from './copy-watch.ts';

const MIB = 2 ** 20;

function trial() {
  const clock = new FakeClock();
  const channels = { bytesSent: 0, unacknowledgedBytes: 0 };
  const drops: string[] = [];
  const link = {
    bytesReceived: 0,
    arrivedBytes: 0,
    connection: { peer: 'there' },
    ask: () => undefined,
    drop: ({ code }: GodwitError) => void drops.push(code),
  };
  const suspicions: boolean[] = [];
  const state = { isReady: true };
  const isReady = () => state.isReady;
  const watch = new CopyWatch({ channels, link, isReady, onSuspect: (isSuspect) => suspicions.push(isSuspect) }, clock);
  return {
    watch,
    state,
    channels,
    drops,
    suspicions,
    pass(seconds: number, { answers = true, takesBytes = 0, brings = 0 } = {}): void {
      for (let second = 0; second < seconds; second++) {
        clock.advance(1000);
        if (answers) link.bytesReceived += 10;
        link.arrivedBytes += brings;
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
  // By then also what is on its way at some 20 bytes a second is granted no more.
  slow.pass(150);
  expect(slow.drops).toEqual(['GW_WIRE_STALLED']);
});

test('what a relay has taken is on its way for minutes: one at which some of it arrives is not given up', () => {
  using copy = trial();
  copy.watch.awaited(new Promise(() => undefined)).catch(() => undefined);
  for (let i = 0; i < 9; i++) {
    copy.pass(25);
    copy.pass(1, { brings: 100 });
  }
  expect(copy.drops).toEqual([]);
  copy.pass(30);
  expect(copy.drops).toEqual(['GW_WIRE_STALLED']);
});

test('on a slow link a word may take as long as what waits before it, and no longer', () => {
  using slow = trial();
  // 10 kB/s, of which a MiB takes 105 s, until the other host hangs.
  Object.assign(slow.channels, { bytesSent: 10 * MIB, unacknowledgedBytes: 10 * MIB });
  slow.pass(100, { answers: false, takesBytes: 10_000 });
  expect(slow.drops).toEqual([]);
  slow.pass(1, { takesBytes: 10_000 });
  slow.pass(119, { answers: false, takesBytes: 10_000 });
  expect(slow.drops).toEqual([]);
  slow.pass(1, { answers: false });
  expect(slow.drops).toEqual(['GW_WIRE_TIMEOUT']);
});

test('a fast link grants nothing, however little there was to send at last', async () => {
  using fast = trial();
  fast.channels.bytesSent = 1000 * MIB;
  fast.channels.unacknowledgedBytes = 1000 * MIB;
  fast.pass(10, { takesBytes: 100 * MIB });
  fast.channels.bytesSent += 5000;
  fast.pass(16, { answers: false });
  expect(fast.drops).toEqual(['GW_WIRE_TIMEOUT']);
});

test('what was granted to a slow link ends with a confirmed round', async () => {
  using slow = trial();
  Object.assign(slow.channels, { bytesSent: MIB, unacknowledgedBytes: MIB });
  slow.pass(50, { takesBytes: 100_000 });
  await slow.watch.awaited(Promise.resolve());
  slow.pass(15, { answers: false });
  expect(slow.drops).toEqual(['GW_WIRE_TIMEOUT']);
});

test('one that is not ready yet owes nothing, however much it has been sent; from then on it does', () => {
  using copy = trial();
  copy.state.isReady = false;
  copy.channels.unacknowledgedBytes = 30 * MIB;
  copy.pass(600, { answers: false });
  expect([copy.drops, copy.suspicions]).toEqual([[], []]);
  copy.state.isReady = true;
  copy.pass(29);
  expect(copy.drops).toEqual([]);
  copy.pass(1);
  expect(copy.drops).toEqual(['GW_WIRE_STALLED']);
});
