/**
 * Requests that are cancelled at the source and sent again at the destination, in randomised runs: never an older write over
 * a newer one, no error in the guest, whoever has the VM afterwards (M3).
 *
 * `npm run test:soak`; GODWIT_RUNS=40 for so many in all, GODWIT_SEED=7 for the runs of that seed. A line for each run goes to
 * stdout. The guest keeps a ledger on its disk: writes with numbers that overlap, of which it reads back what it has written last.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import type { DiskServerClient } from '../../src/storage/vm-disks/control-client.ts';
import { requireCapability, TEST_QEMU } from '../support/capability.ts';
import { beginMigration, HostPair, type ReachedHost, type WatchedMigration } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import {
  createLedgerVm,
  findDiskServer,
  ledgerComplaints,
  ledgerGrows,
  openDiskControl,
} from '../support/ledger-vm.ts';
import { qemuVersions } from '../support/other-qemu.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const SEED = Number(process.env['GODWIT_SEED'] ?? 1);
const RUNS = Number(process.env['GODWIT_RUNS'] ?? 200);
const BUSES = ['virtio-blk', 'virtio-scsi'] as const;
const MACHINES = qemuVersions().flatMap((qemu) =>
  BUSES.flatMap((bus) => [false, true].map((iothread) => ({ qemu, bus, iothread }))),
);
const RUNS_EACH = Math.ceil(RUNS / MACHINES.length);
/** Without the fence it takes no more than these until a write comes too late. */
const UNFENCED_RUNS = 10;
const THREADS = 8;
/** Slow enough for the source to be there for long after the VM has left, with pages of it. */
const SLOW_BYTES_PER_SECOND = 2 ** 21;
/** From the stop until the storage goes on. */
const MAX_STORAGE_MS = 400;
/** The same where nobody waits for it: until the VM has written elsewhere. */
const UNFENCED_STORAGE_MS = 12_000;
/** Others are busy, too. */
const PHASE_TIMEOUT_MS = 60_000;
const COMMANDS = ['read', 'write', 'flush', 'trim', 'writeZeroes'] as const;
const MODES = ['auto', 'pre-copy', 'post-copy', 'hybrid'] as const;

type Call = 'hold' | 'stall';

interface Plan {
  /** Requests wait before the storage has them, or with it. */
  readonly how: Call | null;
  readonly commands: readonly (typeof COMMANDS)[number][];
  readonly request: Omit<MigrateBody, 'to'>;
  readonly isSlow: boolean;
  readonly storageMs: number;
  /** What happens to the migration so long after the stop. */
  readonly trouble: { readonly kind: 'cancel' | 'cut'; readonly afterMs: number } | null;
}

/** The worst there is for a fence: the storage has writes, and is done with them when the VM writes elsewhere. */
const LATE_WRITES: Plan = {
  how: 'stall',
  commands: ['write'],
  request: { mode: 'post-copy' },
  isSlow: true,
  storageMs: MAX_STORAGE_MS,
  trouble: null,
};

function randomOf(seed: number): () => number {
  let state = seed >>> 0 || 1;
  // xorshift32: https://www.jstatsoft.org/article/view/v008i14
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  // The first ones are like those of the seed before.
  for (let skipped = 0; skipped < 16; skipped++) next();
  return next;
}

function makePlan(random: () => number): Plan {
  const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  if (random() < 0.15) return { ...LATE_WRITES, storageMs: random() * MAX_STORAGE_MS };
  const how = oneOf(['hold', 'stall', 'stall', null] as const);
  const commands = COMMANDS.filter((command) => random() < (command === 'write' ? 0.8 : 0.4));
  const kind = oneOf(['cancel', 'cut', null, null, null] as const);
  return {
    how,
    commands,
    request: { mode: oneOf(MODES) },
    isSlow: false,
    storageMs: random() * MAX_STORAGE_MS,
    trouble: kind && { kind, afterMs: random() * 2 * MAX_STORAGE_MS },
  };
}

/** Moves it, or tries to, with the storage and the link as planned. Returns how that ended. */
async function run(pair: HostPair, vm: string, plan: Plan): Promise<string> {
  const { at, other } = await pair.locate(vm);
  using control = await openDiskControl(at, vm);
  const isOverLink = at === pair.a;
  await holdSome(at, vm, control, plan);
  try {
    const to = isOverLink ? pair.link.address : other.host.migration;
    const limit = plan.isSlow ? { bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND } : {};
    const migration = await beginMigration(at, vm, { to, ...plan.request, ...limit });
    await migration.reaches('stopping', PHASE_TIMEOUT_MS);
    await Promise.all([letGo(control, plan, other, vm), trouble(pair, migration, plan, isOverLink)]);
    // What was slow for the storage's sake need not be so any more; it may be over.
    if (plan.isSlow) await at.client.tuneMigration(migration.id, { bandwidthBytesPerSecond: 0 }).catch(() => undefined);
    const { state, report } = await migration.ended;
    const ended = `${state} (${at.host.name} → ${other.host.name})`;
    if (state !== 'completed' && !plan.trouble) throw new Error(`${ended}: ${JSON.stringify(report?.error)}`);
    return report?.error && state === 'failed' ? `${ended} ${report.error.code}` : ended;
  } finally {
    pair.link.restore();
  }
}

/** Until the storage has something that it does not do, if it is ever asked. */
async function holdSome(at: ReachedHost, vm: string, control: DiskServerClient, plan: Plan): Promise<void> {
  const { how, commands } = plan;
  if (how === null) return;
  await control.call(how, { commands: [...commands] });
  if (!commands.includes('write')) return;
  using server = await findDiskServer(at, vm);
  await waitUntil('requests wait', async () => {
    const [disk] = (await server.status()).disks;
    return disk!.waiting + disk!.running > 0;
  });
}

/** After its time, or when the VM writes at the other host: with a fence that is never before. */
async function letGo(
  control: DiskServerClient,
  { how, storageMs }: Plan,
  other: ReachedHost,
  vm: string,
): Promise<void> {
  if (how === null) return;
  const over = new AbortController();
  const writes = waitUntil(
    'the VM writes at the other host',
    async () => {
      if (over.signal.aborted) return true;
      const isThere = (await other.client.listVms()).some(({ name, state }) => name === vm && state === 'running');
      return isThere && (await ledgerGrows(other, vm)) !== undefined;
    },
    { timeoutMs: storageMs + PHASE_TIMEOUT_MS },
  );
  try {
    await Promise.race([writes, delay(storageMs)]);
  } finally {
    over.abort();
    // Nobody waits for it any more.
    writes.catch(() => undefined);
  }
  // Of a VM that has left it ends with the VM's QEMU.
  await control.call(how, { commands: [] }).catch(() => undefined);
}

async function trouble(
  pair: HostPair,
  migration: WatchedMigration,
  { trouble: planned }: Plan,
  isOverLink: boolean,
): Promise<void> {
  if (!planned) return;
  await delay(planned.afterMs);
  // It may be too late, or over.
  if (planned.kind === 'cancel' || !isOverLink) await migration.cancel().catch(() => undefined);
  else {
    pair.link.cut();
    await delay(planned.afterMs);
    pair.link.restore();
  }
}

function describePlan({ how, commands, request, isSlow, storageMs, trouble: planned }: Plan): string {
  const storage =
    how === null ? 'nothing waits' : `${how} ${commands.join('+') || 'nothing'} ${Math.round(storageMs)} ms`;
  const after = planned ? `, ${planned.kind} after ${Math.round(planned.afterMs)} ms` : '';
  return `${request.mode}${isSlow ? ', slowly' : ''}, ${storage}${after}`;
}

requireCapability('vm')('requests under way in randomised runs', () => {
  describe.each(MACHINES)('$qemu, $bus, iothread $iothread', ({ qemu, bus, iothread }) => {
    test(`${RUNS_EACH} runs: the guest has read what it has written last, and goes on`, async () => {
      const seed =
        SEED * 1000 +
        MACHINES.findIndex((machine) => machine.qemu === qemu && machine.bus === bus && machine.iothread === iothread);
      const random = randomOf(seed * 2654435761);
      await using pair = await HostPair.open();
      const vm = 'ledger';
      const image = pair.a.host.directory.join('ledger.img');
      await createLedgerVm(pair.a, { name: vm, image, qemu, bus, iothread, threads: THREADS, trim: true });
      for (let number = 1; number <= RUNS_EACH; number++) {
        const plan = makePlan(random);
        const fromMs = performance.now();
        const how = await run(pair, vm, plan).catch((cause: unknown) => {
          throw new Error(`Run ${number}, ${describePlan(plan)}`, { cause });
        });
        const { at } = await pair.locate(vm);
        const { writes } = await ledgerGrows(at, vm);
        const ms = Math.round(performance.now() - fromMs);
        process.stdout.write(`${number}/${RUNS_EACH}: ${describePlan(plan)}: ${how}, ${ms} ms, ${writes} writes\n`);
      }
    });
  });

  test('without the fence an old write comes over a newer one, and the guest sees it', async () => {
    await using pair = await HostPair.open({ env: { GODWIT_FAULT: 'noDiskFence' } });
    const vm = 'unfenced';
    const image = pair.a.host.directory.join('unfenced.img');
    await createLedgerVm(pair.a, { name: vm, image, qemu: TEST_QEMU, threads: THREADS });
    const plan = { ...LATE_WRITES, storageMs: UNFENCED_STORAGE_MS };
    const complaints: string[] = [];
    for (let number = 1; number <= UNFENCED_RUNS && complaints.length === 0; number++) {
      await run(pair, vm, plan);
      const { at } = await pair.locate(vm);
      await ledgerGrows(at, vm).catch(() => undefined);
      complaints.push(...(await ledgerComplaints(at, vm)));
    }
    process.stdout.write(`without the fence: ${complaints[0]}\n`);
    expect(complaints.join('\n')).toMatch(/disk CORRUPT: another number/);
  });
});
