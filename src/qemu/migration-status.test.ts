import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { JsonValue } from '../base/errors.ts';
import { MigrationStatus } from './migration-status.ts';
import type { QmpClient, QmpEvent } from './qmp.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Answers query-migrate with the given answers in turn, the last one for ever. */
class ScriptedQmp {
  readonly answers: Record<string, JsonValue>[];
  asked = 0;
  #listener: ((event: QmpEvent) => void) | undefined;

  constructor(answers: Record<string, JsonValue>[]) {
    this.answers = answers;
  }

  get client(): QmpClient {
    return this as unknown as QmpClient;
  }

  execute(): Promise<unknown> {
    const answer = this.answers[Math.min(this.asked++, this.answers.length - 1)];
    return answer === undefined ? Promise.reject(new Error('closed')) : Promise.resolve(answer);
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = undefined;
    };
  }

  emit(status: string): void {
    this.#listener?.({ event: 'MIGRATION', data: { status }, timestampMs: 0 });
  }
}

test('the event ends the wait without a question', async () => {
  const qmp = new ScriptedQmp([{ status: 'active' }]);
  using status = new MigrationStatus(qmp.client);
  for (const step of ['setup', 'active', 'device', 'completed']) qmp.emit(step);
  expect(await status.ended).toEqual({ status: 'completed', errorDescription: undefined });
  expect(qmp.asked).toBe(0);
});

test("a failure comes with QEMU's words", async () => {
  const qmp = new ScriptedQmp([{ status: 'failed', 'error-desc': 'Unable to write to socket: Broken pipe' }]);
  using status = new MigrationStatus(qmp.client);
  qmp.emit('failed');
  expect(await status.ended).toEqual({
    status: 'failed',
    errorDescription: 'Unable to write to socket: Broken pipe',
  });
});

test('without events it is asked for in intervals', async () => {
  const qmp = new ScriptedQmp([{}, { status: 'active' }, { status: 'completed' }]);
  using status = new MigrationStatus(qmp.client);
  status.started();
  await vi.advanceTimersByTimeAsync(1000);
  expect(await status.ended).toMatchObject({ status: 'completed' });
  expect(qmp.asked).toBe(3);
});

test('the end of an earlier migration is not taken for this one', async () => {
  const qmp = new ScriptedQmp([{ status: 'completed' }]);
  using _ = new MigrationStatus(qmp.client);
  await vi.advanceTimersByTimeAsync(1000);
  expect(qmp.asked).toBe(0);
});

test('nothing is asked any more after the end', async () => {
  const qmp = new ScriptedQmp([{ status: 'active' }]);
  const status = new MigrationStatus(qmp.client);
  status.started();
  await vi.advanceTimersByTimeAsync(350);
  status[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(1000);
  expect(qmp.asked).toBe(3);
});

test('a lost connection ends the wait', async () => {
  const qmp = new ScriptedQmp([]);
  using status = new MigrationStatus(qmp.client);
  status.started();
  await vi.advanceTimersByTimeAsync(200);
  await expect(status.ended).rejects.toThrow('closed');
});
