/** `godwit host` as whoever runs it sees it: what it writes where. */
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MigrationStore } from '../src/host/migration-store.ts';
import { Journal, journalPath } from '../src/migration/journal.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../src/migration/request.ts';
import { knowImages } from '../src/storage/known-image.ts';
import { requireCapability } from './support/capability.ts';
import { collectOutput, runCli, spawnGodwit } from './support/godwit-cli.ts';
import { checkLeaks } from './support/leak-check.ts';
import { sampleRecord, sampleReport } from './support/scripted-engine.ts';
import { TempDirectory } from './support/temp-directory.ts';
import { waitUntil } from './support/wait-until.ts';

checkLeaks();

const ANY = '127.0.0.1:0';
/** Nobody listens there. */
const NOBODY = '127.0.0.1:1';
/** Two seconds for what is owed, and what starting and ending take on a busy machine. */
const STOPPING_MS = 20_000;

let state: TempDirectory;

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it has written to stderr. */
  readonly log: string;
}

/** A daemon that has become ready, has done something, and was ended by the signal. */
async function runHost(
  args: readonly string[] = [],
  end: NodeJS.Signals = 'SIGTERM',
  until: () => boolean = () => true,
): Promise<Ended> {
  const ports = ['--listen', ANY, '--migration-listen', ANY];
  const child = spawnGodwit(['host', '--name', 'a', '--state', state.join('state'), ...ports, ...args]);
  const output = collectOutput(child);
  try {
    await waitUntil('it is ready', () => output().stderr.includes('ready'));
    await waitUntil('it has done what it is to do', until);
  } finally {
    child.kill(end);
    await once(child, 'close');
  }
  return { status: child.exitCode, signal: child.signalCode, log: output().stderr };
}

/** Leaves the journal of a migration whose end was told here, and whose other host has not heard of its abort. */
function leaveOwing(): void {
  const { id, vm, from, to, startedAt } = sampleReport();
  const stateDirectory = state.join('state');
  const error = { code: 'GW_MIGRATION_CANCELLED', message: 'The migration was cancelled', details: {} } as const;
  const options = DEFAULT_MIGRATION_OPTIONS;
  const facts = { id, vm: sampleRecord(), to: NOBODY, destinationName: to, options, hostName: from, startedAt };
  using journal = Journal.create(journalPath(stateDirectory, id, 'outgoing'));
  journal.append({ side: 'facts', ...facts, sessionKey: '0'.repeat(64), historyPath: '', linksPath: '' });
  journal.append({ side: 'source', kind: 'offered', migration: id, vm, epoch: 2, peer: NOBODY });
  journal.append({ side: 'source', kind: 'rolledBack', cancelled: true, error });
  new MigrationStore(stateDirectory, 1).save(sampleReport({ outcome: 'cancelled', error, owner: from }));
}

/** Leaves the journal of a migration that was over but for the last record, of a VM whose disk went with it. */
function leaveReleased(image: string): void {
  const { id, vm, to, from, startedAt } = sampleReport();
  const options = { ...DEFAULT_MIGRATION_OPTIONS, sourceDisks: 'delete' } as const;
  const facts = { id, vm: sampleRecord(), to: NOBODY, destinationName: to, options, hostName: from, startedAt };
  using journal = Journal.create(journalPath(state.join('state'), id, 'outgoing'));
  journal.append({ side: 'facts', ...facts, sessionKey: '0'.repeat(64), historyPath: '', linksPath: '' });
  journal.append({ side: 'facts', copiedImages: knowImages([image]) });
  journal.append({ side: 'source', kind: 'offered', migration: id, vm, epoch: 2, peer: NOBODY });
  journal.append({ side: 'source', kind: 'stopping', wasRunning: true, pagesMissing: false });
  journal.append({ side: 'source', kind: 'committed', epoch: 2 });
  journal.append({ side: 'source', kind: 'released' });
}

requireCapability('kernel')('godwit host', () => {
  beforeEach(() => {
    state = new TempDirectory();
  });
  afterEach(() => state[Symbol.dispose]());

  test('with --log-format json writes JSON lines only, and in one of them where it listens', async () => {
    const { log } = await runHost(['--log-format', 'json']);
    const lines = log
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toContainEqual(
      expect.objectContaining({
        msg: 'ready',
        api: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)],
        migration: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      }),
    );
  });

  test('else says in a line for people that it is ready', async () => {
    expect((await runHost(['--log-format', 'pretty'])).log).toMatch(
      /^godwit host a ready: API http:\/\/127\.0\.0\.1:\d+, migration 127\.0\.0\.1:\d+$/m,
    );
  });

  test('that cannot start ends with status 1, whatever it has recovered by then', async () => {
    leaveOwing();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const listen = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const run = await runCli(['host', '--state', state.join('state'), '--listen', listen, '--migration-listen', ANY]);
    taken.close();
    expect(run).toMatchObject({ status: 1, stderr: expect.stringContaining(`cannot listen on ${listen}`) });
  });

  test(
    'that still owes another host an abort, which is not there, ends as any other; the next one goes on with it',
    async () => {
      leaveOwing();
      const fromMs = performance.now();
      expect(await runHost()).toMatchObject({ status: 0, signal: null });
      expect(performance.now() - fromMs).toBeLessThan(STOPPING_MS);
      expect(await runHost([], 'SIGKILL')).toMatchObject({ log: expect.stringContaining('ready') });
    },
    2 * STOPPING_MS,
  );

  test.each([
    true,
    false,
  ])('deletes the disk of a VM that left before it was killed, if it is that one (%s)', async (isThat) => {
    const image = state.join('disk');
    writeFileSync(image, 'as it left');
    leaveReleased(image);
    if (!isThat) {
      writeFileSync(`${image}.new`, 'of a VM that came');
      renameSync(`${image}.new`, image);
    }
    const id = sampleReport().id;
    const isOver = () => readFileSync(journalPath(state.join('state'), id, 'outgoing'), 'utf8').includes('"completed"');
    await runHost([], 'SIGTERM', isOver);
    expect(existsSync(image)).toBe(!isThat);
  });

  test('prepares threads for migrations when it has been there for a while', async () => {
    const rehearsals = state.join('state', 'rehearsals');
    await runHost([], 'SIGTERM', () => readdirSync(rehearsals).length > 0);
    rmSync(rehearsals, { recursive: true });
    await runHost(['--spare-threads', 'off']);
    expect(existsSync(rehearsals)).toBe(false);
  });
});
