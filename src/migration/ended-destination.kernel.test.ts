import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { MESSAGE_SAMPLES } from '../../test/support/wire-samples.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import type { DestinationFacts } from './destination-facts.ts';
import { listenForMigrations, recoverMigrations } from './engine.ts';
import type { HostTraffic, MigrationListener } from './handle.ts';
import type { DestinationRecord } from './handover.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { Journal, journalPath } from './journal.ts';
import { type OpenedConnection, openConnection, takeAnswer } from './opening.ts';
import { rememberJournal } from './sessions.ts';
import { encodeJoin } from './source-offer.ts';

const EPOCH = 2;
const ERROR = { code: 'GW_QEMU_GONE', message: 'QEMU has ended', details: {} } as const;
const PREPARED: DestinationRecord = { side: 'destination', kind: 'prepared', wasRunning: true, pagesMissing: true };
const OWNER: DestinationRecord[] = [
  PREPARED,
  { side: 'destination', kind: 'owner', epoch: EPOCH },
  { side: 'destination', kind: 'resumed', resumedAtMs: 5 },
];
const COMMIT: ControlMessage = { kind: 'commit', epoch: EPOCH };

const TRAFFIC: HostTraffic = { budget: HostBudget.create(0).buffer, dscp: null, tls: null };

let directory: TempDirectory;
let listener: MigrationListener;

/** What an earlier daemon has left of one migration. */
interface Left {
  readonly key: string;
  readonly path: string;
}

function leave(...records: DestinationRecord[]): Left {
  const id = randomUUID();
  const key = randomBytes(32).toString('hex');
  const offer = { ...MESSAGE_SAMPLES.offer, migrationId: id, sessionKey: key, epoch: EPOCH };
  const facts = { offer, peer: 'a', stateDirectory: directory.path, hostName: 'b', startedAt: 1 };
  const path = journalPath(directory.path, id, 'incoming');
  using journal = Journal.create(path);
  journal.append({ side: 'facts', facts: facts as DestinationFacts });
  const identity = { migration: id, vm: offer.vm.name, epoch: EPOCH, peer: 'a' };
  journal.append({ side: 'destination', kind: 'accepted', ...identity });
  for (const record of records) journal.append(record);
  return { key, path };
}

async function join(key: string, purpose: 'urgent' | 'resume' = 'resume'): Promise<OpenedConnection> {
  const opened = await openConnection(`127.0.0.1:${listener.port}`, 'a', TRAFFIC, AbortSignal.timeout(10_000));
  await opened.connection.send(encodeJoin(key, purpose));
  return opened;
}

async function hear(opened: OpenedConnection): Promise<ControlMessage> {
  return await takeAnswer(opened, 'b', 5000);
}

function damageSecondLine(path: string): void {
  const text = readFileSync(path, 'utf8');
  const at = text.indexOf('\n') + 1;
  writeFileSync(path, `${text.slice(0, at)}00000000${text.slice(at + 8)}`);
}

/** What a source that comes back hears to its last word. */
async function ask({ key }: Left, word: ControlMessage): Promise<ControlMessage> {
  const opened = await join(key);
  try {
    expect(await hear(opened)).toMatchObject({ kind: 'joined', epoch: EPOCH });
    await opened.connection.send(encodeControl(word));
    return await hear(opened);
  } finally {
    opened.connection.close();
  }
}

describe('a source that comes back after the migration has ended here', () => {
  let lost: Left;
  let cancelled: Left;
  let completed: Left;
  let damaged: Left;

  beforeAll(async () => {
    directory = new TempDirectory();
    lost = leave(...OWNER, { side: 'destination', kind: 'ended', outcome: 'lost', error: ERROR });
    cancelled = leave(PREPARED, { side: 'destination', kind: 'ended', outcome: 'cancelled', error: ERROR });
    const complete: DestinationRecord = { side: 'destination', kind: 'complete' };
    completed = leave(...OWNER, complete, { side: 'destination', kind: 'ended', outcome: 'completed', error: null });
    damaged = leave(...OWNER);
    damageSecondLine(damaged.path);
    expect(await recoverMigrations({ stateDirectory: directory.path, traffic: TRAFFIC })).toEqual({
      handles: [],
      damaged: [
        {
          id: basename(dirname(damaged.path)),
          vm: MESSAGE_SAMPLES.offer.vm.name,
          coming: expect.objectContaining({ vm: MESSAGE_SAMPLES.offer.vm.name, epoch: EPOCH, qemu: null }),
          error: expect.objectContaining({
            code: 'GW_JOURNAL_CORRUPT',
            message: expect.stringContaining(damaged.path),
          }),
        },
      ],
    });
    listener = await listenForMigrations({
      host: '127.0.0.1',
      port: 0,
      traffic: TRAFFIC,
      keepsSpareThreads: false,
      policy: {
        hostName: 'b',
        stateDirectory: directory.path,
        allowedNetworkScripts: [],
        images: null,
        contents: NO_CONTENTS,
        admit: () => ({ kind: 'refused', reason: 'a test' }),
        sharedPathsOf: () => ({}),
        onChecked: () => undefined,
        onIncoming: () => undefined,
      },
    });
  });
  afterAll(async () => {
    await listener.close();
    directory[Symbol.dispose]();
  });

  test('hears that the VM is lost', async () => {
    expect(await ask(lost, COMMIT)).toMatchObject({ kind: 'failed', owned: true, error: { code: 'GW_QEMU_GONE' } });
    expect(await ask(lost, { kind: 'failed', owned: false, error: ERROR })).toMatchObject({ kind: 'failed' });
  });

  test('hears that its abort was heard', async () => {
    expect(await ask(cancelled, { kind: 'abort', cancelled: true, error: ERROR })).toEqual({ kind: 'aborted' });
  });

  test('hears that the VM runs and has every page; the journal stays as it is', async () => {
    const before = readFileSync(completed.path, 'utf8');
    const opened = await join(completed.key);
    expect(await hear(opened)).toMatchObject({ kind: 'joined', phase: 'done' });
    await opened.connection.send(encodeControl(COMMIT));
    expect(await hear(opened)).toMatchObject({ kind: 'resumed', epoch: EPOCH, resumedAtMs: 5 });
    expect(await hear(opened)).toMatchObject({ kind: 'allPresent' });
    await opened.connection.send(encodeControl({ kind: 'release' }));
    await opened.connection.send(encodeControl(COMMIT));
    expect(await hear(opened)).toMatchObject({ kind: 'resumed' });
    opened.connection.close();
    expect(readFileSync(completed.path, 'utf8')).toBe(before);
  });

  test('gets its urgent connection too', async () => {
    const opened = await join(lost.key, 'urgent');
    expect(await hear(opened)).toMatchObject({ kind: 'joined', phase: 'lost' });
    await opened.connection.send(encodeControl({ kind: 'ping', token: 1, wallMs: 1 }));
    expect(await ask(lost, COMMIT)).toMatchObject({ kind: 'failed' });
    expect(opened.connection.isClosed).toBe(false);
    opened.connection.close();
  });

  test('is cut off when it says what nobody says then', async () => {
    const opened = await join(completed.key);
    await hear(opened);
    await opened.connection.send(
      encodeControl({ kind: 'switchover', wasRunning: true, pagesMissing: false, history: [] }),
    );
    expect(await opened.connection.closed).toMatchObject({ code: 'GW_WIRE_CLOSED' });
  });

  test('is told nothing while too many ask, and is answered later', async () => {
    const opened: OpenedConnection[] = [];
    await expect(
      (async () => {
        for (let count = 0; count < 100; count++) {
          opened.push(await join(lost.key));
          await hear(opened.at(-1)!);
        }
      })(),
    ).rejects.toMatchObject({ code: 'GW_WIRE_CLOSED' });
    expect(opened.length).toBeGreaterThan(10);
    for (const { connection } of opened) connection.close();
    await waitUntil('there is room again', () => ask(lost, COMMIT).catch(() => undefined));
  });

  test('is told nothing while the journal does not know the end', async () => {
    const open = leave(PREPARED);
    rememberJournal(open.key, open.path);
    await expect(join(open.key).then(hear)).rejects.toMatchObject({ code: 'GW_WIRE_CLOSED' });
  });

  test('is told nothing while the journal cannot be read', async () => {
    await expect(join(damaged.key).then(hear)).rejects.toMatchObject({ code: 'GW_WIRE_CLOSED' });
  });

  test('with another key is not known', async () => {
    const opened = await join(randomBytes(32).toString('hex'));
    expect(await hear(opened)).toMatchObject({ kind: 'refused', error: { code: 'GW_PEER_UNKNOWN_SESSION' } });
  });

  test('of a migration that is forgotten is not known', async () => {
    const forgotten = leave({ side: 'destination', kind: 'ended', outcome: 'failed', error: ERROR });
    await recoverMigrations({ stateDirectory: directory.path, traffic: TRAFFIC });
    rmSync(forgotten.path);
    expect(await hear(await join(forgotten.key))).toMatchObject({ error: { code: 'GW_PEER_UNKNOWN_SESSION' } });
  });
});
