/** An evacuation of host a with one other, b: both made up, so that a test says what each answers, and when. */
import type { GroupMigrateBody, GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../../src/api/migration-schema.ts';
import type { OutlookView, OutlookVm } from '../../src/api/outlook-schema.ts';
import { GodwitError } from '../../src/base/errors.ts';
import { Evacuation } from '../../src/controller/evacuation.ts';
import type {
  EvacuationEvent,
  EvacuationMemory,
  GroupEnd,
  MigrationStage,
} from '../../src/controller/evacuation-port.ts';
import { parseFleet } from '../../src/controller/fleet-file.ts';
import { picture } from '../../src/controller/fleet-picture.ts';
import { JointPlanning } from '../../src/controller/joint-planning.ts';
import { LastOutlooks } from '../../src/controller/last-outlooks.ts';

const HOSTS = { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } };
const GIB = 2 ** 30;

export const vmOf = (name: string, more: Partial<OutlookVm> = {}): OutlookVm => ({
  name,
  uuid: `uuid of ${name}`,
  state: 'running',
  migration: null,
  ramBytes: GIB,
  dataPages: 10_000,
  samples: [],
  contents: null,
  sharedMemory: [],
  ...more,
});

/** Moved by somebody else: while it is there it is looked for each second. */
export const FOREIGN = vmOf('foreign', { migration: 'm-other' });
export const NEVER: AbortSignal = new AbortController().signal;

interface TrialOptions {
  readonly fails?: (vm: string, attempt: number) => string | null;
  /** Why a host does not answer at the nth look; null: it answers. */
  readonly silent?: (host: string, look: number) => string | null;
  /** The host answers with an error instead; null: it does not. */
  readonly refuses?: (host: string, look: number) => 'for good' | 'for now' | null;
  /** Hosts that do not tell in time what is in all of their VMs. */
  readonly partial?: readonly string[];
  /** Which hosts list a VM, where that is not where it is. */
  readonly listed?: (vm: string, at: string) => readonly string[];
  /** Migrations that a host tells of. */
  readonly outgoing?: (host: string) => OutlookView['outgoing'];
  /** Hosts that get no VMs at a look, with the reason. */
  readonly closed?: (look: number) => ReadonlyMap<string, string>;
  readonly to?: string;
  /** The clock jumps so far at each look. */
  readonly lookMs?: number;
  readonly memoryBytes?: number;
  readonly together?: readonly (readonly string[])[];
  /** The rest of the fleet file. */
  readonly settings?: object;
  readonly skip?: readonly (readonly [string, string])[];
  /** The clock jumps so far while the nth thing that is to begin is remembered. */
  readonly heldMs?: (order: number) => number;
  /** Before the hosts' answers are there. */
  readonly beforePicture?: (look: number) => void;
  /** Until all answers are there, which hosts have given by then. */
  readonly delayed?: (look: number) => Promise<void>;
  readonly only?: readonly string[];
  readonly deadlineInMs?: number;
  /** Another one began it so long ago. */
  readonly begunAgoMs?: number;
  /** What another one has done so far. */
  readonly begun?: EvacuationMemory;
  /** The host knows by whose order its migration began, although nobody remembers its id. */
  readonly knowsGroup?: boolean;
  /** Migrations end when the test says so. */
  readonly hold?: boolean;
  /** How far a migration is when it is looked at first. */
  readonly stage?: (vm: string) => MigrationStage | undefined;
  /** Whether a host takes the word to go on. */
  readonly goes?: () => boolean;
  /** The VM whose migration an order has begun. */
  readonly found?: (requestId: string) => string | null;
}

/** Unless `fails` says how a migration ends, the hosts do as they are told. */
export function evacuationTrial(vms: readonly OutlookVm[], options: TrialOptions = {}) {
  const at = new Map(vms.map((vm) => [vm.name, 'a']));
  const attempts = new Map<string, number>();
  const log: string[] = [];
  /** By VM, or by region of a group. */
  const requests = new Map<string, GroupMigrateBody>();
  const file = parseFleet({ hosts: HOSTS, together: options.together ?? [], ...options.settings }, '/');
  const open = new Map<string, (view: MigrationView) => void>();
  const events: EvacuationEvent[] = [];
  const stages = new Map<string, (stage: MigrationStage) => void>();
  /** When a migration had just ended. */
  const memories: EvacuationMemory[] = [];
  const last = new LastOutlooks();
  let looks = 0;
  let aheadMs = 0;
  let orders = 0;
  const outlookOf = (host: string): OutlookView => ({
    host,
    migration: `${host}:7710`,
    memoryBytes: options.memoryBytes ?? 64 * GIB,
    bandwidthBytesPerSecond: 0,
    ways: {},
    outgoing: options.outgoing?.(host) ?? [],
    vms: vms.filter(({ name }) => {
      const where = at.get(name)!;
      return (options.listed?.(name, where) ?? [where]).includes(host);
    }),
  });
  const ended = (vm: string, outcome: string, code = 'GW_MIGRATION_REFUSED'): MigrationView =>
    ({
      id: `m-${vm}`,
      state: outcome,
      report: { outcome, totalMs: 1000, wireBytes: 5, downtimeMs: 10, error: { code, message: 'it was refused' } },
    }) as unknown as MigrationView;
  const end = (vm: string, outcome: string, code?: string): void => {
    if (outcome === 'completed') at.set(vm, 'b');
    open.get(vm)?.(ended(vm, outcome, code));
  };
  const openGroups = new Map<string, (end: GroupEnd) => void>();
  /** false: nobody waits for its end. */
  const endGroup = (id: string, state: GroupMigrationView['state']): boolean => {
    const resolve = openGroups.get(id);
    if (!resolve) return false;
    const members = vms.filter(({ sharedMemory }) => sharedMemory.length > 0);
    const group = { state, group: 'bus', error: null, notes: ['a VM did not stop'], regions: [{ wireBytes: 100 }] };
    if (state === 'completed') for (const { name } of members) at.set(name, 'b');
    const migrations = members.map(({ name }) => ({ ...ended(name, 'completed'), vm: name }));
    resolve({ group: group as unknown as GroupMigrationView, migrations });
    return true;
  };
  const evacuation = new Evacuation(
    {
      planning: new JointPlanning(),
      look: async () => {
        const look = looks++;
        aheadMs += options.lookMs ?? 0;
        options.beforePicture?.(look);
        const answers = ['a', 'b'].map((name) => {
          const failure = options.silent?.(name, look) ?? null;
          const refusal = options.refuses?.(name, look) ?? null;
          if (refusal === 'for good') return { name, failure: 'a wrong token', isRefusal: true, isFinal: true };
          if (refusal !== null) return { name, failure: 'HTTP status 502', isRefusal: true, isFinal: false };
          if (failure !== null) return { name, failure, isRefusal: false, isFinal: false };
          const isPartial = options.partial?.includes(name) ?? false;
          return { name, outlook: outlookOf(name), askedAtMs: Date.now() + aheadMs, isPartial };
        });
        await options.delayed?.(look);
        const seen = picture(file, last.complete(answers), Date.now() + aheadMs, options.closed?.(look));
        return { pictureFor: () => seen };
      },
      picture: (look) => look.pictureFor({ onlyVms: null, together: [] }),
      hosts: {
        begin: async (host, vm, request: MigrateBody) => {
          const { to, requestId: _requestId, ...settings } = request;
          requests.set(vm, { to, ...settings });
          log.push(`${vm} ${host} ${to}`);
          const attempt = (attempts.get(vm) ?? 0) + 1;
          attempts.set(vm, attempt);
          const reason = options.fails?.(vm, attempt) ?? null;
          if (reason !== null) throw new GodwitError('GW_MIGRATION_REFUSED', { host: to, vm, reason });
          return { id: `m-${vm}` } as MigrationView;
        },
        find: async (_host, { requestId }) => {
          const vm = options.found?.(requestId!) ?? null;
          return vm === null ? null : ({ id: `m-${vm}` } as MigrationView);
        },
        endOf: (_host, id, _signal, heard) => {
          const vm = id.slice(2);
          if (heard) stages.set(vm, heard);
          const stage = options.stage?.(vm);
          const { promise, resolve } = Promise.withResolvers<MigrationView>();
          open.set(vm, resolve);
          if (stage) heard?.(stage);
          return promise;
        },
        letGo: async (_host, ids) => {
          log.push(`go ${ids.toSorted().join(' ')}`);
          if (options.goes?.() === false)
            throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name: ids[0]!, reason: 'no' });
        },
        cancel: async (_host, id) => {
          log.push(`cancel ${id}`);
          if (options.hold !== true || !id.endsWith('stubborn')) end(id.slice(2), 'cancelled');
        },
        beginGroup: async (host, name, request) => {
          const { requestId: _requestId, ...settings } = request;
          requests.set(name, settings);
          log.push(`group ${name} ${host} ${request.to}`);
          return { id: `g-${name}` } as GroupMigrationView;
        },
        findGroup: async () => (options.knowsGroup === true ? ({ id: 'g-bus' } as GroupMigrationView) : null),
        endOfGroup: (_host, id) => {
          const { promise, resolve } = Promise.withResolvers<GroupEnd>();
          openGroups.set(id, resolve);
          return promise;
        },
        cancelGroup: async (_host, id) => {
          log.push(`cancel ${id}`);
          endGroup(id, 'cancelled');
        },
      },
      record: async () => {
        aheadMs += options.heldMs?.(orders++) ?? 0;
      },
      nowMs: () => Date.now() + aheadMs,
      lookAgainMs: 20,
      onEvent: (event) => {
        events.push(event);
        if (event.kind === 'ended') memories.push(evacuation.memory());
        // The next attempt is due.
        if (event.kind === 'failed') aheadMs += 120_000;
        if (event.kind !== 'started' || options.hold === true) return;
        const { id, move } = event;
        queueMicrotask(() => (id.startsWith('g-') ? endGroup(id, 'completed') : end(move.vm, 'completed')));
      },
    },
    {
      from: 'a',
      to: options.to ?? null,
      startedAtMs: Date.now() - (options.begunAgoMs ?? 0),
      deadlineAtMs: options.deadlineInMs === undefined ? null : Date.now() + options.deadlineInMs,
      vms: options.only ?? null,
      skip: new Map(options.skip ?? []),
    },
    options.begun ?? null,
  );
  const seen = async (is: (event: EvacuationEvent) => boolean): Promise<void> => {
    while (!events.some(is)) await new Promise((resolve) => setImmediate(resolve));
  };
  const waits = (): string[] => events.flatMap((event) => (event.kind === 'waits' ? [event.reason] : []));
  /** The host tells how far a migration is. */
  const tell = (vm: string, stage: MigrationStage): void => stages.get(vm)!(stage);
  return { evacuation, log, requests, events, memories, end, endGroup, tell, seen, waits, looks: () => looks };
}
