/**
 * Every call of a host daemon's API, typed. Owns the paths; who carries a call is given (client/call.ts), so that programs
 * (godwit-client.ts) and the dashboard in a browser make the same ones.
 */
import type { CommonalityView } from '../api/commonality-schema.ts';
import type { HostEvent } from '../api/event-schema.ts';
import type { GroupFollowBody, GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView, GroupView } from '../api/group-schema.ts';
import type { HistoryView } from '../api/history-schema.ts';
import type { HostView, TuneHostBody } from '../api/host-schema.ts';
import { LONGEST_SILENCE_MS } from '../api/keep-alive.ts';
import type { MigrateBody, MigrationView, TuneBody } from '../api/migration-schema.ts';
import type { Leader } from '../api/order-schema.ts';
import type { OutlookQuestion, OutlookView } from '../api/outlook-schema.ts';
import type { UpgradeBody, UpgradeReportView } from '../api/upgrade-schema.ts';
import type { AdoptBody, VmSpecInput, VmView } from '../api/vm-schema.ts';
import type { CheckResult } from '../migration/handle.ts';
import type { Call, CallCarrier } from './call.ts';
import { parseEvents } from './event-stream-parser.ts';

/** How long an answer is waited for; default: as long as it takes. */
type Patience = Pick<Call, 'longestSilenceMs'>;

/** Only the migration that this request has begun. */
interface BegunBy {
  readonly requestId?: string;
}

export type VmAction = 'pause' | 'resume' | 'kill';

export class HostCalls {
  readonly #transport: CallCarrier;

  constructor(transport: CallCarrier) {
    this.#transport = transport;
  }

  get url(): string {
    return this.#transport.url;
  }

  host(): Promise<HostView> {
    return this.#get('/v1/host');
  }
  /** Changes the bandwidth limit of all migrations. */
  tuneHost(request: TuneHostBody): Promise<HostView> {
    return this.#transport.json({ method: 'PATCH', path: '/v1/host', body: request });
  }
  /** Orders of controllers that led before begin nothing from now on. */
  acknowledgeLeader({ fleet, epoch }: Leader, options: Patience = {}): Promise<Leader> {
    const path = `/v1/leaders/${encodeURIComponent(fleet)}`;
    return this.#transport.json({ method: 'PUT', path, body: { epoch }, ...options });
  }
  /** What a planner is told of the host. */
  outlook({
    isBrief = false,
    contentsAfter,
    contentsLimit,
    ...call
  }: Partial<OutlookQuestion> & { readonly signal?: AbortSignal } = {}): Promise<OutlookView> {
    const query = { brief: isBrief ? 'true' : undefined, contentsAfter, contentsLimit };
    return this.#transport.json({ method: 'GET', path: '/v1/outlook', query, ...call });
  }
  /** What the host's VMs have in common. @param exact - all memory is looked through */
  commonality(options: { readonly exact?: boolean } = {}): Promise<CommonalityView> {
    return this.#get('/v1/commonality', options.exact === true ? { exact: 'true' } : {});
  }
  metrics(): Promise<string> {
    return this.#text('/metrics', {});
  }

  listVms(): Promise<VmView[]> {
    return this.#get('/v1/vms');
  }
  showVm(name: string): Promise<VmView> {
    return this.#get(vmPath(name));
  }
  /** How the VM has been writing to its memory. */
  vmHistory(name: string): Promise<HistoryView> {
    return this.#get(`${vmPath(name)}/history`);
  }
  createVm(spec: VmSpecInput): Promise<VmView> {
    return this.#post('/v1/vms', spec);
  }
  adoptVm(request: AdoptBody): Promise<VmView> {
    return this.#post('/v1/vms/adopt', request);
  }
  actOnVm(name: string, action: VmAction): Promise<VmView> {
    return this.#post(`${vmPath(name)}/actions/${action}`, {});
  }
  stopVm(name: string, options: { readonly timeoutMs?: number } = {}): Promise<VmView> {
    return this.#post(`${vmPath(name)}/actions/stop`, options);
  }
  /** Replaces its QEMU while it runs; answers when that is done. */
  upgradeVm(name: string, request: UpgradeBody = {}): Promise<UpgradeReportView> {
    return this.#post(`${vmPath(name)}/actions/upgrade`, request);
  }
  /** The VM stays in its old QEMU, if the new one does not have it yet. */
  cancelUpgrade(name: string): Promise<VmView> {
    return this.#post(`${vmPath(name)}/actions/cancel-upgrade`, {});
  }
  async removeVm(name: string): Promise<void> {
    await this.#transport.json({ method: 'DELETE', path: vmPath(name) });
  }
  /** All that the guest has written so far. */
  consoleText(name: string, options: { readonly tail?: number } = {}): Promise<string> {
    return this.#text(`${vmPath(name)}/console`, options);
  }
  /** What the guest has written, and on until the VM is gone or `signal` fires. */
  followConsole(name: string, options: { tail?: number; signal?: AbortSignal } = {}): AsyncIterable<Uint8Array> {
    const { tail, signal } = options;
    return this.#transport.stream({
      method: 'GET',
      path: `${vmPath(name)}/console`,
      query: { follow: 'true', tail },
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** VMs that share memory. */
  listGroups(): Promise<GroupView[]> {
    return this.#get('/v1/groups');
  }
  /** @param name - of the group, or of any of its regions */
  showGroup(name: string): Promise<GroupDetailView> {
    return this.#get(`/v1/groups/${encodeURIComponent(name)}`);
  }

  /** Starts moving all VMs of a group; answers as soon as it has begun. */
  migrateGroup(name: string, request: GroupMigrateBody, options: Patience = {}): Promise<GroupMigrationView> {
    return this.#post(`/v1/groups/${encodeURIComponent(name)}/actions/migrate`, request, {}, options);
  }
  listGroupMigrations({ requestId, ...options }: BegunBy & Patience = {}): Promise<GroupMigrationView[]> {
    return this.#get('/v1/group-migrations', { requestId }, options);
  }
  showGroupMigration(id: string, options: Patience = {}): Promise<GroupMigrationView> {
    return this.#get(`/v1/group-migrations/${encodeURIComponent(id)}`, {}, options);
  }
  cancelGroupMigration(id: string, options: Patience = {}): Promise<GroupMigrationView> {
    return this.#post(`/v1/group-migrations/${encodeURIComponent(id)}/actions/cancel`, {}, {}, options);
  }
  /** Calls VMs of a divided group that wait at the source. @param id - or the name of the group */
  followGroup(id: string, request: GroupFollowBody = {}): Promise<GroupMigrationView> {
    return this.#post(`/v1/group-migrations/${encodeURIComponent(id)}/actions/follow`, request);
  }

  check(name: string, to: string): Promise<CheckResult> {
    return this.#post(`${vmPath(name)}/actions/check`, { to });
  }
  /** Starts a migration; answers as soon as it has begun. */
  migrate(name: string, request: MigrateBody, options: Patience = {}): Promise<MigrationView> {
    return this.#post(`${vmPath(name)}/actions/migrate`, request, {}, options);
  }
  /** Starts a migration; answers when it has ended, however. */
  migrateAndWait(name: string, request: MigrateBody): Promise<MigrationView> {
    return this.#post(`${vmPath(name)}/actions/migrate`, request, { wait: 'true' });
  }

  listMigrations(options: { readonly limit?: number } & BegunBy & Patience = {}): Promise<MigrationView[]> {
    const { limit, requestId, ...patience } = options;
    return this.#get('/v1/migrations', { limit, requestId }, patience);
  }
  showMigration(id: string, options: Patience = {}): Promise<MigrationView> {
    return this.#get(migrationPath(id), {}, options);
  }
  cancelMigration(id: string, options: Patience = {}): Promise<MigrationView> {
    return this.#post(`${migrationPath(id)}/actions/cancel`, {}, {}, options);
  }
  tuneMigration(id: string, request: TuneBody): Promise<MigrationView> {
    return this.#post(`${migrationPath(id)}/actions/tune`, request);
  }
  /** Of those that are held (`hold`). */
  letMigrationsGo(ids: readonly string[], options: Patience = {}): Promise<MigrationView[]> {
    return this.#post('/v1/migrations/actions/go', { ids }, {}, options);
  }
  switchToPostCopy(id: string): Promise<MigrationView> {
    return this.#post(`${migrationPath(id)}/actions/switch-postcopy`, {});
  }

  /** The migration's present state first (`migrationStarted` or `migrationEnded`), then what happens, to its end. */
  watchMigration(id: string, options: { readonly signal?: AbortSignal } = {}): AsyncIterable<HostEvent> {
    return this.#events({ method: 'GET', path: `${migrationPath(id)}/events`, ...options });
  }
  /** Everything that changes on the host. Ends when the connection does; go on with the last event's id. */
  events(
    options: { vm?: string; migration?: string; lastEventId?: string; signal?: AbortSignal } = {},
  ): AsyncIterable<HostEvent> {
    const { vm, migration, lastEventId, signal } = options;
    return this.#events({
      method: 'GET',
      path: '/v1/events',
      query: { vm, migration },
      ...(lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  #get<T>(path: string, query: Call['query'] = {}, patience: Patience = {}): Promise<T> {
    return this.#transport.json({ method: 'GET', path, query, ...patience });
  }

  #post<T>(path: string, body: unknown, query: Call['query'] = {}, patience: Patience = {}): Promise<T> {
    return this.#transport.json({ method: 'POST', path, query, body, ...patience });
  }

  #text(path: string, query: Call['query'] & object): Promise<string> {
    return this.#transport.text({ method: 'GET', path, query });
  }

  #events(call: Call): AsyncGenerator<HostEvent> {
    return parseEvents(this.#transport.stream({ ...call, longestSilenceMs: LONGEST_SILENCE_MS }));
  }
}

function vmPath(name: string): string {
  return `/v1/vms/${encodeURIComponent(name)}`;
}

function migrationPath(id: string): string {
  return `/v1/migrations/${encodeURIComponent(id)}`;
}
