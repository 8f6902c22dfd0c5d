import { expect, test } from 'vitest';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { HostEvent } from '../api/event-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { parseEvents } from '../client/event-stream-parser.ts';
import { HostWatch } from './host-watch.ts';

type Stream = () => AsyncIterable<HostEvent>;

async function* sent(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(`data: ${text}\n\n`);
}

const event = (id: string): string => JSON.stringify({ id, atMs: 1, kind: 'hostChanged' });
const silent: Stream = () => ({
  [Symbol.asyncIterator]: () => ({
    next: () => Promise.reject(new GodwitError('GW_API_UNREACHABLE', { url: 'x', reason: 'y' })),
  }),
});

/** @param streams - of host a, one after the other; then it is silent */
function watch(streams: readonly Stream[], take: (event: HostEvent) => void = () => undefined) {
  const heard: string[] = [];
  const failures: string[] = [];
  const asked: (string | undefined)[] = [];
  const rest = [...streams];
  const watching = new HostWatch(
    {
      hosts: {
        eventsOf: (_host, lastId) => {
          asked.push(lastId);
          return (rest.shift() ?? silent)();
        },
      },
      heard: (_host, each) => {
        take(each);
        heard.push(each.id);
      },
      failed: (host, reason) => failures.push(`${host}: ${reason}`),
    },
    ['a'],
    1,
  );
  return { watching, heard, failures, asked };
}

test.each([
  '{"id":',
  'null',
  '7',
])('a host that sends %s for an event is told of once, and listened to again from where it was left', async (text) => {
  const broken: Stream = () => parseEvents<HostEvent>(sent(event('1'), text));
  const stillBroken: Stream = () => parseEvents<HostEvent>(sent(text));
  const whole: Stream = () => parseEvents<HostEvent>(sent(event('2')));
  const { watching, heard, failures, asked } = watch([broken, stillBroken, whole]);
  await waitUntil('it is heard again', () => heard.includes('2'));
  await watching[Symbol.asyncDispose]();
  expect(heard).toEqual(['1', '2']);
  expect(failures).toEqual([expect.stringMatching(/^a: .*cannot be read/)]);
  expect(asked.slice(0, 3)).toEqual([undefined, '1', '1']);
});

test('an event that cannot be taken does not end the listening', async () => {
  let isFirst = true;
  const stream: Stream = () => parseEvents<HostEvent>(sent(event('1')));
  const { watching, heard, failures } = watch([stream, stream], () => {
    if (!isFirst) return;
    isFirst = false;
    throw new TypeError('no such field');
  });
  await waitUntil('it is heard', () => heard.includes('1'));
  await watching[Symbol.asyncDispose]();
  expect(failures).toEqual([expect.stringContaining('no such field')]);
});

test('hosts that come are listened to, and those that go no more', async () => {
  const open = new Map<string, number>();
  const eventsOf = (host: string, _lastId: string | undefined, signal: AbortSignal): AsyncIterable<HostEvent> => {
    open.set(host, (open.get(host) ?? 0) + 1);
    const over = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        open.set(host, open.get(host)! - 1);
        reject(signal.reason);
      });
    });
    return { [Symbol.asyncIterator]: () => ({ next: () => over }) };
  };
  const watching = new HostWatch({ hosts: { eventsOf }, heard: () => undefined, failed: () => undefined }, ['a'], 1);
  watching.follow(['a', 'b']);
  expect([...open]).toEqual([
    ['a', 1],
    ['b', 1],
  ]);
  watching.follow(['b']);
  expect([...open]).toEqual([
    ['a', 0],
    ['b', 1],
  ]);
  await watching[Symbol.asyncDispose]();
  expect(open.get('b')).toBe(0);
});

test('that a host is silent is told by others', async () => {
  const { watching, asked, failures } = watch([]);
  await waitUntil('it was asked again', () => asked.length > 2);
  await watching[Symbol.asyncDispose]();
  expect(failures).toEqual([]);
});
