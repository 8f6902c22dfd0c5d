import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { PeerWatch } from './peer-watch.ts';

function trial() {
  const clock = new FakeClock();
  const events: string[] = [];
  let heard = 0;
  let asked = 0;
  const watch = new PeerWatch(
    {
      goneMs: 15_000,
      ask: () => asked++,
      heardBytes: () => heard,
      onSuspect: () => events.push('suspect'),
      onWell: () => events.push('well'),
      onGone: (ms) => events.push(`gone after ${ms}`),
    },
    clock,
  );
  return {
    events,
    asked: () => asked,
    /** A second each. */
    pass: (seconds: number, answers: boolean) => {
      for (let i = 0; i < seconds; i++) {
        clock.advance(1000);
        if (answers) heard += 10;
        watch.look();
      }
    },
    sleep: (ms: number) => clock.advance(ms),
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

test('one that answers is asked each second and left alone', () => {
  using watched = trial();
  watched.pass(100, true);
  expect(watched.events).toEqual([]);
  expect(watched.asked()).toBe(100);
});

test('silence is suspect first, and then the end', () => {
  using watched = trial();
  watched.pass(2, false);
  expect(watched.events).toEqual([]);
  watched.pass(1, false);
  expect(watched.events).toEqual(['suspect']);
  watched.pass(12, false);
  expect(watched.events).toEqual(['suspect', 'gone after 15000']);
});

test('one that answers again is well', () => {
  using watched = trial();
  watched.pass(10, false);
  watched.pass(10, true);
  watched.pass(4, false);
  expect(watched.events).toEqual(['suspect', 'well', 'suspect']);
});

test('while this thread could not look nobody was silent', () => {
  using watched = trial();
  watched.sleep(60_000);
  watched.pass(1, false);
  expect(watched.events).toEqual([]);
  watched.pass(13, false);
  expect(watched.events).toEqual(['suspect', 'gone after 15000']);
});
