import { expect, test } from 'vitest';
import { type LogMessage, type Pull, readLog } from './nats-log.ts';

/** A log of so many items, of which each pull tells as many as it is said here before its time is over. */
function scripted(count: number, told: readonly number[]): { readonly pull: Pull; readonly asked: number[] } {
  const asked: number[] = [];
  let next = 1;
  const pull: Pull = async (messages) => {
    const most = Math.min(messages, told[asked.length] ?? 0);
    asked.push(messages);
    return (async function* (): AsyncGenerator<LogMessage> {
      for (let i = 0; i < most && next <= count; i++, next++)
        yield { seq: next, data: new Uint8Array([next]), info: { pending: count - next } };
    })();
  };
  return { pull, asked };
}

const numbers = (items: readonly Uint8Array[]): number[] => items.map(([number]) => number!);

test('a log is read to its end, however many pulls that takes', async () => {
  const { pull, asked } = scripted(40, [32, 3, 5]);
  expect(numbers(await readLog(pull, 40, 40))).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect(asked).toEqual([32, 8, 5]);
});

test('a pull that ends before the newest is no answer', async () => {
  const { pull } = scripted(40, [32, 3, 0]);
  await expect(readLog(pull, 40, 40)).rejects.toThrow('35 of 40');
});

test('what was removed is not waited for, and what came later is not read', async () => {
  const removed = scripted(3, [3]);
  expect(numbers(await readLog(removed.pull, 5, 5))).toEqual([1, 2, 3]);
  expect(removed.asked).toHaveLength(1);
  const grown = scripted(9, [9]);
  expect(numbers(await readLog(grown.pull, 4, 9))).toEqual([1, 2, 3, 4]);
});
