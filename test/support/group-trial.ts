/**
 * A group's migration whose parts are played by the test: what it tells them to do, in order, and what they answer.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { GroupMemberView, GroupMigrateBody } from '../../src/api/group-migration-schema.ts';
import { GodwitError } from '../../src/base/errors.ts';
import type { GroupMemberPort } from '../../src/host/group-member-port.ts';
import { GroupMigration } from '../../src/host/group-migration.ts';
import type { RegionReport } from '../../src/sharing/region-report.ts';
import { openTally } from '../../src/sharing/region-tally.ts';
import type { RegionSourceEvent } from '../../src/sharing/region-threads.ts';
import { ScriptedHandle } from './scripted-engine.ts';

export const REGION = {
  name: 'bus',
  bytes: 2 ** 20,
  path: '/dev/shm/x',
  device: '00:1a',
  inode: 7,
  isOurs: true,
  members: [],
};
export const REFUSED = new GodwitError('GW_MIGRATION_REFUSED', { host: 'b', vm: 'bus', reason: 'no room' });
export const REPORT = {
  pagesHere: 0,
  wireBytes: { sent: 3, received: 2 },
  stoppingAccesses: [],
  tally: openTally(),
} as unknown as RegionReport;

/** What the group's parts do, in their order; the test plays the migrations and the region. */
export function trial(
  body: Partial<GroupMigrateBody> = {},
  options: {
    refused?: boolean;
    blocked?: string;
    overdueMs?: number;
    /** An earlier daemon had begun it, and these were here when it ended. */
    resumed?: {
      hasBegun: boolean;
      here: readonly string[];
      known?: Promise<void>;
      members?: readonly GroupMemberView[];
      reports?: Readonly<Record<string, ReturnType<GroupMemberPort['reportOf']>>>;
    };
  } = {},
) {
  const log: string[] = [];
  const handles = new Map<string, ScriptedHandle>();
  const ended = new Set<string>();
  let tell: (event: RegionSourceEvent) => void = () => undefined;
  const group = { name: 'bus', regions: [REGION], vms: ['a', 'b', 'c'] };
  const migration = new GroupMigration(
    'g1',
    group,
    { to: 'there:7710', order: 'together', ...body },
    {
      openRegion: (_region, onEvent) => {
        tell = onEvent;
        return {
          ended: new Promise(() => undefined),
          hasBegun: options.resumed?.hasBegun ?? false,
          abandon: async () => void log.push('region abandoned'),
          ready: options.refused ? Promise.reject(REFUSED) : Promise.resolve(),
          begin: () => log.push('begin'),
          vmStopped: (vm) => log.push(`stopped ${vm}`),
          vmLeft: (vm) => log.push(`left ${vm}`),
          vmContinued: (vm) => log.push(`continued ${vm}`),
          vmOverdue: (vm) => log.push(`overdue ${vm}`),
          report: async () => ({ ...REPORT, pagesHere: 3 }),
          cancel: async () => void log.push('region cancelled'),
        };
      },
      check: async (vm) => (vm === options.blocked ? ['its RAM is private'] : []),
      start: async (vm, waits) => {
        await options.resumed?.known;
        if (options.resumed?.here.includes(vm) === false)
          throw new GodwitError('GW_NOT_FOUND', { kind: 'VM', name: vm });
        log.push(waits ? `prepare ${vm}` : `start ${vm}`);
        const handle = new ScriptedHandle({ id: `m-${vm}`, vm, direction: 'outgoing', peer: 'there:7710' });
        handles.set(vm, handle);
        return handle;
      },
      reportOf: (id) => options.resumed?.reports?.[id],
      hasEnded: (vm) => ended.has(vm) || options.resumed?.here.includes(vm) === false,
      retryMs: 1,
      overdueMs: options.overdueMs ?? 60_000,
      isHere: async (vm) => {
        await options.resumed?.known;
        return options.resumed?.here.includes(vm) ?? true;
      },
      changed: () => undefined,
    },
    { startedAtMs: 5, members: options.resumed ? (options.resumed.members ?? []) : null },
  );
  const running = migration.run();
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  return {
    migration,
    running,
    log,
    handles,
    ended,
    settle,
    region: (event: RegionSourceEvent) => tell(event),
    stand: (vm: string) => handles.get(vm)!.emit({ kind: 'guestStands' }),
    commit(vm: string): void {
      handles.get(vm)!.emit({ kind: 'guestStands' });
      handles.get(vm)!.emit({ kind: 'phaseChanged', phase: 'committed', atMs: 0 });
    },
    finish: (vm: string) => handles.get(vm)!.finish({ kind: 'left', to: 'there', epoch: 2 }, { downtimeMs: 12 }),
    fail: (vm: string) => handles.get(vm)!.finish({ kind: 'stays' }, { outcome: 'failed' }),
  };
}

export type Trial = ReturnType<typeof trial>;

export const stopVm = (vm: string): RegionSourceEvent => ({ kind: 'stopVm', vm, page: 5, forGood: false, atMs: 0 });

export async function begun(...parameters: Parameters<typeof trial>): Promise<Trial> {
  const started = trial(...parameters);
  await started.settle();
  return started;
}

export async function complete({ region, running }: Trial) {
  region({ kind: 'completed', report: REPORT });
  return await running;
}
