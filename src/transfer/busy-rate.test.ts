import { expect, test } from 'vitest';
import type { Clock } from '../base/clock.ts';
import type { TcpBusy } from '../linux/tcp-info.ts';
import { BusyRate } from './busy-rate.ts';

const MB = 1e6;

/** Looks every 60 ms at connections that carry so many bytes in a moment and are busy for so long of it. */
function look(moments: number, ...connections: readonly { readonly bytes: number; readonly busyMs: number }[]) {
  let nowMs = 0;
  let busy: readonly TcpBusy[] = connections.map(() => ({ acknowledgedBytes: 0, busyMs: 0 }));
  const clock = { nowMs: () => nowMs } as Clock;
  const rate = new BusyRate(
    {
      get busy() {
        return busy;
      },
    },
    clock,
  );
  rate.measure();
  for (let moment = 0; moment < moments; moment++) {
    nowMs += 60;
    busy = busy.map((each, index) => ({
      acknowledgedBytes: each.acknowledgedBytes + connections[index]!.bytes,
      busyMs: each.busyMs + connections[index]!.busyMs,
    }));
    rate.measure();
  }
  return rate.measure();
}

test('what a link takes is seen also where it has little to do', () => {
  // 50 MB/s on the whole, in a tenth of the time.
  expect(look(4, { bytes: 3 * MB, busyMs: 6 })).toBeCloseTo(500 * MB, -3);
});

test('connections that share a link do not add up', () => {
  const half = { bytes: 3 * MB, busyMs: 50 };
  expect(look(4, half, half)).toBeCloseTo(60 * MB, -3);
});

test('a little says nothing, however fast it went; more of it does', () => {
  expect(look(20, { bytes: MB / 10, busyMs: 0.1 })).toBeUndefined();
  expect(look(10, { bytes: MB, busyMs: 10 })).toBeCloseTo(100 * MB, -3);
});

test('connections that are new begin anew', () => {
  let nowMs = 0;
  let busy: readonly TcpBusy[] = [{ acknowledgedBytes: 100 * MB, busyMs: 1000 }];
  const rate = new BusyRate(
    {
      get busy() {
        return busy;
      },
    },
    { nowMs: () => nowMs } as Clock,
  );
  const lookAt = (...next: readonly TcpBusy[]) => {
    nowMs += 200;
    busy = next;
    return rate.measure();
  };
  rate.measure();
  expect(lookAt({ acknowledgedBytes: 110 * MB, busyMs: 1100 })).toBeCloseTo(100 * MB, -3);
  expect(lookAt({ acknowledgedBytes: MB, busyMs: 10 }, { acknowledgedBytes: MB, busyMs: 10 })).toBeCloseTo(
    100 * MB,
    -3,
  );
  expect(lookAt({ acknowledgedBytes: 21 * MB, busyMs: 60 }, { acknowledgedBytes: MB, busyMs: 10 })).toBeCloseTo(
    400 * MB,
    -3,
  );
});
