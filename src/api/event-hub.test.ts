import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { FakeClock } from '../base/clock.ts';
import { EventHub } from './event-hub.ts';
import type { HostEvent } from './event-schema.ts';

function removed(name: string): { kind: 'vmRemoved'; name: string; reason: string } {
  return { kind: 'vmRemoved', name, reason: 'test' };
}

function names(events: readonly HostEvent[]): string[] {
  return events.map((event) => (event.kind === 'vmRemoved' ? event.name : event.kind));
}

test('a listener hears what comes after it began and nothing after it stopped', () => {
  const hub = new EventHub(new FakeClock());
  const heard: HostEvent[] = [];
  hub.emit(removed('before'));
  const stop = hub.listen((event) => heard.push(event));
  hub.emit(removed('during'));
  stop();
  hub.emit(removed('after'));
  expect(names(heard)).toEqual(['during']);
});

test('a reader that comes back gets exactly what it missed', () => {
  const hub = new EventHub(new FakeClock());
  const { id } = hub.emit(removed('one'));
  hub.emit(removed('two'));
  hub.emit(removed('three'));
  expect(names(hub.since(id))).toEqual(['two', 'three']);
});

test('a reader that was away too long is told so before what is left', () => {
  const hub = new EventHub(new FakeClock(), 2);
  const { id } = hub.emit(removed('one'));
  for (const name of ['two', 'three', 'four']) hub.emit(removed(name));
  expect(names(hub.since(id))).toEqual(['eventsMissed', 'three', 'four']);
});

largerTest('what is kept is bounded also where events are large', () => {
  const hub = new EventHub(new FakeClock());
  const { id } = hub.emit(removed('one'));
  for (let number = 0; number < 40; number++)
    hub.emit({ ...removed(`large${number}`), reason: 'x'.repeat(1024 * 1024) });
  const kept = names(hub.since(id));
  expect(kept[0]).toBe('eventsMissed');
  expect(kept.length).toBeLessThan(20);
  expect(kept.at(-1)).toBe('large39');
});

test.each([
  'zzz-1',
  'nonsense',
  '-',
  'x-99999999999999999999',
])('the id %s of another life of the daemon is a gap', (id) => {
  const hub = new EventHub(new FakeClock());
  hub.emit(removed('one'));
  expect(names(hub.since(id))).toEqual(['eventsMissed']);
});
