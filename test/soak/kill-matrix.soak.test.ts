/**
 * Whatever dies, in whatever phase and mode: who has the VM then is what the table of docs/phases.md says, and nobody else does.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, MigrationView } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { identifyProcess, signalProcess } from '../../src/linux/process.ts';
import { requireCapability } from '../support/capability.ts';
import {
  beginMigration,
  createTinyVm,
  endAt,
  HostPair,
  isFree,
  type ReachedHost,
  restart,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { type Death, type Fate, killMatrix } from '../support/kill-matrix.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { CALM } from '../support/tiny-vm.ts';
import { listQemus, nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'mortal';
const MIB = 2 ** 20;
/** 16 MiB that are not sent in a moment, packed or not. */
const GUEST = { ...CALM, fill: { firstPage: FIRST_USABLE_PAGE, pageCount: 4096, randomWords: 1024 } };
/** Phases that end with an answer last long enough for something to die in them. */
const LATE_LINK = { delayMs: 400 };
const SLOW_LINK = { delayMs: 0, bytesPerSecond: 4 * MIB };
const FULL_LINK = { delayMs: 0, bytesPerSecond: undefined };
/** Which phase of a thread it is; a source tells the first one twice. A destination's by the source's in which it comes. */
const SOURCE_ORDER = { preparing: 2, copying: 3, stopping: 4, committed: 5, serving: 6, released: 6 } as const;
const DESTINATION_ORDER = { preparing: 1, copying: 2, stopping: 3, committed: 5, serving: 6, released: 6 } as const;

let pair: HostPair;

requireCapability('vm')('what dies', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
  });
  beforeEach(async () => {
    for (const { host } of [pair.a, pair.b]) if (!host.isRunning) await host.start();
    await createTinyVm(pair.a, { name: VM, guest: GUEST });
  });
  afterEach(async () => {
    pair.link.restore();
    pair.link.shape(FULL_LINK);
    for (const at of [pair.a, pair.b]) await remove(at);
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(killMatrix())('$victim, in $phase of a $mode: $fate', { timeout: 90_000 }, async (death) => {
    if (isThread(death)) await orderDeath(death);
    const migration = await begin(death);
    if (!isThread(death)) {
      await reach(migration, death);
      await kill(death);
    }
    pair.link.shape(FULL_LINK);
    await CONFIRM[death.fate](migration, death);
  });
});

function isThread({ victim }: Death): boolean {
  return victim.endsWith('thread');
}

/** A daemon whose thread dies of an error as soon as it has come to the phase. */
async function orderDeath({ victim, phase, mode }: Death): Promise<void> {
  const isSource = victim.startsWith('source');
  const last = 6 + (mode === 'pre-copy' ? 0 : 1);
  const nth = phase === 'released' ? last : (isSource ? SOURCE_ORDER : DESTINATION_ORDER)[phase];
  const { host } = isSource ? pair.a : pair.b;
  await host.kill();
  await host.start({ GODWIT_FAULT: `threadPhase:${nth}` });
}

async function begin({ mode, phase }: Death): Promise<WatchedMigration> {
  if (phase === 'serving') pair.link.shape(SLOW_LINK);
  else pair.link.shape(LATE_LINK, 'down');
  const slow: Partial<MigrateBody> = phase === 'copying' ? { bandwidthBytesPerSecond: 8 * MIB } : {};
  const without = phase === 'copying' || phase === 'serving' ? [...PACKING_STEPS] : [];
  return await beginMigration(pair.a, VM, { to: pair.link.address, mode, maxDowntimeMs: 60_000, without, ...slow });
}

async function reach(migration: WatchedMigration, { phase, victim }: Death): Promise<void> {
  if (phase === 'released') {
    await migration.ended;
    await endAt(pair.b, migration.id);
    return;
  }
  if (phase === 'committed') {
    await migration.reaches('stopping');
    pair.link.shape(LATE_LINK, 'up');
  }
  await migration.reaches(phase);
  if (phase === 'copying') await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
  if (phase !== 'preparing' || !victim.startsWith('destination')) return;
  await waitUntil('there is something to die', async () =>
    victim === 'destination QEMU'
      ? listQemus(pair.b).length > 0
      : (await pair.b.client.listMigrations()).some(({ id }) => id === migration.id),
  );
}

async function kill({ victim }: Death): Promise<void> {
  const at = victim.startsWith('source') ? pair.a : pair.b;
  if (victim === 'link') {
    pair.link.cut();
    await waitUntil('nothing is connected', () => pair.link.connections === 0);
    pair.link.restore();
  } else if (victim.endsWith('QEMU')) {
    for (const pid of listQemus(at)) signalProcess(identifyProcess(pid)!, 'SIGKILL');
  } else {
    await restart(at);
  }
}

const CONFIRM: Readonly<Record<Fate, (migration: WatchedMigration, death: Death) => Promise<void>>> = {
  async source({ id }) {
    // A destination that has never come so far as to be ready says no.
    expect(['failed', 'refused']).toContain((await reportAt(pair.a, id))?.outcome);
    expect(await reportAt(pair.a, id)).toMatchObject({ owner: 'a' });
    await runsIntact(pair, VM, pair.a);
  },
  async destination({ id }) {
    expect(await reportAt(pair.a, id)).toMatchObject({ outcome: 'completed', owner: 'b' });
    expect(await reportAt(pair.b, id)).toMatchObject({ outcome: 'completed', owner: 'b' });
    await runsIntact(pair, VM, pair.b);
  },
  /** As a VM that ends with no migration around. */
  async gone({ id }, { victim }) {
    const at = victim === 'source QEMU' ? pair.a : pair.b;
    const outcome = at === pair.a ? 'failed' : 'completed';
    expect(await reportAt(pair.a, id)).toMatchObject({ outcome, owner: at.host.name });
    expect(await isFree(at, VM)).toMatchObject({ state: 'crashed' });
    await nothingRemains(at === pair.a ? pair.b : pair.a, VM);
  },
  async lost({ id }) {
    for (const at of [pair.a, pair.b]) {
      const message = expect.stringContaining(`VM ${VM} is lost`);
      expect(await reportAt(at, id)).toMatchObject({ outcome: 'failed', owner: 'b', error: { message } });
    }
    await nothingRemains(pair.a, VM);
    expect(await isFree(pair.b, VM)).toMatchObject({ state: 'crashed' });
  },
  async kept(migration) {
    expect(await reportAt(pair.a, migration.id)).toMatchObject({ outcome: 'failed', owner: 'b' });
    await nothingRemains(pair.b, VM);
    expect(await pair.a.client.listVms()).toEqual([]);
    expect(listQemus(pair.a)).toHaveLength(1);
    const { notes } = await pair.a.client.showMigration(migration.id);
    const [, adopt] = /godwit (vm adopt .*); godwit vm resume/.exec(notes.join(' '))!;
    expect(await pair.a.host.cli(adopt!.split(' '))).toMatchObject({ stderr: '', status: 0 });
    await pair.a.client.actOnVm(VM, 'resume');
    await runsIntact(pair, VM, pair.a);
  },
};

async function reportAt(at: ReachedHost, id: string): Promise<MigrationView['report']> {
  return (await endAt(at, id)).report;
}

/** Whatever a case has left, also a failed one. */
async function remove(at: ReachedHost): Promise<void> {
  if (!at.host.isRunning) await at.host.start();
  for (const { name, state } of await at.client.listVms()) {
    await isFree(at, name);
    if (state !== 'crashed') await at.client.actOnVm(name, 'kill');
    await at.client.removeVm(name);
  }
}
