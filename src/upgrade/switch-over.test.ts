import { expect, test } from 'vitest';
import { type SwitchOverPort, switchOver } from './switch-over.ts';

/** With QEMUs that have nothing to say. */
function portOf(done: string[], changes: Partial<SwitchOverPort> = {}): SwitchOverPort {
  const step = (name: string) => async () => {
    done.push(name);
  };
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1);
  }
  return {
    save: {
      stopping: Promise.resolve(),
      stopped: Promise.resolve({ stoppedAtMs: undefined }),
      proceed: step('proceed'),
      chunks: chunks(),
      done: Promise.resolve({ bytes: 1, savedMs: 0 }),
    },
    load: { ready: Promise.resolve(), write: step('write'), end: step('end'), loaded: Promise.resolve() },
    accel: 'tcg',
    wasRunning: true,
    signal: new AbortController().signal,
    commit: step('commit'),
    resume: async () => {
      done.push('resume');
      return { resumedAtMs: 0 };
    },
    ...changes,
  };
}

async function afterLoading(changes: (done: string[]) => Partial<SwitchOverPort>): Promise<string[]> {
  const done: string[] = [];
  await switchOver(portOf(done, changes(done))).catch((error: Error) => done.push(error.message));
  return done.slice(done.indexOf('end') + 1);
}

test('the new QEMU runs the VM after the commit', async () => {
  expect(await afterLoading(() => ({}))).toEqual(['commit', 'resume']);
});

test('an old QEMU that somebody else could let run has ended before', async () => {
  expect(await afterLoading((done) => ({ endOld: async () => void done.push('ended') }))).toEqual([
    'commit',
    'ended',
    'resume',
  ]);
});

test('where that does not end the VM is not resumed', async () => {
  const endOld = (): Promise<void> => Promise.reject(new Error('it lives'));
  expect(await afterLoading(() => ({ endOld }))).toEqual(['commit', 'it lives']);
});

test('a VM that its user has paused stays so, and nothing is committed once it is cancelled', async () => {
  expect(await afterLoading(() => ({ wasRunning: false }))).toEqual(['commit']);
  expect(await afterLoading(() => ({ signal: AbortSignal.abort(new Error('cancelled')) }))).toEqual(['cancelled']);
});
