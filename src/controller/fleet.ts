/**
 * A fleet and what can be done with it, for the API and for the command line alike.
 *
 * Owns: putting looks, evacuations, marks and balance together. Must hold: any controller answers; what is to be done is written
 * down in the store, and the one that leads does it.
 */

import type { BalanceBody, BalanceView } from '../api/balance-schema.ts';
import type { CommonalityView } from '../api/commonality-schema.ts';
import type { EvacuateBody, EvacuationView, FleetHistoryView } from '../api/evacuation-schema.ts';
import { EventHub } from '../api/event-hub.ts';
import type { FleetEventBody } from '../api/fleet-event-schema.ts';
import type { CommonPairView, FleetPlanView } from '../api/fleet-plan-schema.ts';
import type { FleetRecording } from '../api/fleet-recording-schema.ts';
import type {
  ControllerView,
  FleetView,
  ForgottenHost,
  MaintenanceAnswer,
  MaintenanceBody,
} from '../api/fleet-schema.ts';
import type { FleetService, HistoryQuery, HostCall, HostReply, PlanQuery } from '../api/fleet-service.ts';
import type { LeadBody, Leader } from '../api/order-schema.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { refuseLeft, refuseUnknown } from './asked-hosts.ts';
import { refuseAbsent, wantedMoves, withStaying } from './asked-vms.ts';
import { Balancing } from './balancing.ts';
import { planBundled } from './bundled-plan.ts';
import type { RunnerPort } from './evacuation-runner.ts';
import { Evacuations } from './evacuations.ts';
import type { FleetFile } from './fleet-file.ts';
import { FleetHistory } from './fleet-history.ts';
import { FleetHosts } from './fleet-hosts.ts';
import { FleetLook, type Seen } from './fleet-look.ts';
import { showCommonality, showHosts, showPlan, showVms } from './fleet-view.ts';
import { forgetHost } from './forgotten-host.ts';
import type { SharedLook } from './joint-planning.ts';
import { hostsLeft, Maintenance, markOf, showMark } from './maintenance.ts';
import { refuseOwnAddresses } from './own-addresses.ts';
import { recordFleet } from './recorded-fleet.ts';
import type { RegisteredHosts } from './registered-hosts.ts';
import { runningMigrations } from './running-migrations.ts';
import type { FleetStore } from './store.ts';
import { withUnderway } from './underway.ts';

export interface FleetOptions {
  readonly file: FleetFile;
  readonly store: FleetStore;
  /** Left out: none registers. */
  readonly registered?: RegisteredHosts;
  /** Of this controller. */
  readonly name: string;
  /** null: there is none, a command does it by itself. */
  controller(): ControllerView | null;
  leads(): boolean;
  orders: RunnerPort['orders'];
  /** What orders bear from then on. Left out: there is no controller, and hosts are told of none. */
  raise?(atLeast: number): Promise<Leader>;
  failed(what: string, reason: string): void;
}

export class Fleet implements FleetService, AsyncDisposable {
  readonly events: EventHub<FleetEventBody> = new EventHub<FleetEventBody>(SYSTEM_CLOCK);
  readonly hosts: FleetHosts;
  readonly evacuations: Evacuations;
  readonly finished: FleetHistory;
  readonly balancing: Balancing;
  readonly #options: FleetOptions;
  readonly #maintenance: Maintenance;
  readonly #look: FleetLook;

  constructor(options: FleetOptions) {
    const { store, name, registered } = options;
    this.#options = options;
    this.hosts = new FleetHosts(this.file);
    registered?.onChanged(() => this.hosts.follow(this.file));
    this.#maintenance = new Maintenance(store);
    const left = async (): Promise<ReadonlySet<string>> => hostsLeft(await this.evacuations.open());
    this.#look = new FleetLook({ file: () => this.file, hosts: this.hosts, maintenance: this.#maintenance, left });
    this.evacuations = new Evacuations({
      store,
      hosts: this.hosts,
      name,
      leads: () => options.leads(),
      orders: () => options.orders(),
      failed: (id, reason) => options.failed(id, reason),
      look: () => this.#lookForAll(),
      changed: (evacuation) => void this.events.emit({ kind: 'evacuationChanged', evacuation }),
    });
    this.finished = new FleetHistory(store, this.evacuations);
    this.balancing = new Balancing(store, this.evacuations);
  }

  /** With the hosts that have registered. */
  get file(): FleetFile {
    const { file, registered } = this.#options;
    return registered ? { ...file, hosts: [...file.hosts, ...registered.hosts] } : file;
  }

  /** Whenever hosts come or go by themselves. */
  onHostsChanged(listener: () => void): void {
    this.#options.registered?.onChanged(listener);
  }

  /** @param isBrief - without what is in VMs */
  look(isBrief: boolean): Promise<Seen> {
    return this.#look.look(isBrief);
  }

  async fleet(): Promise<FleetView> {
    const [seen, evacuations] = await Promise.all([this.look(true), this.evacuations.waiting()]);
    const { running, refusals } = await runningMigrations(this.hosts, seen.answers);
    return {
      atMs: seen.atMs,
      controller: this.#options.controller(),
      hosts: showHosts(seen).map((host) => {
        const failure = refusals.get(host.name);
        return failure === undefined ? host : { ...host, state: 'refusing', failure };
      }),
      vms: showVms(seen, evacuations),
      migrations: running,
      refusedRegistrations: this.#options.registered?.refused ?? [],
    };
  }

  async plan({ host, to: wanted, deadlineMs, skip = [], together = [] }: PlanQuery): Promise<FleetPlanView> {
    const to = wanted ?? null;
    this.#refuseUnknown('host', host, to);
    if (to !== null) await this.#refuseLeft(to);
    const look = await this.#look.look(false, together);
    refuseAbsent(look, host, { skip, together });
    const seen = withStaying(look.picture, null);
    refuseOwnAddresses(look.file, seen, host, to);
    const deadlineAtMs = deadlineMs === undefined ? null : Date.now() + deadlineMs;
    const moves = wantedMoves(seen, host, { to, deadlineAtMs, skip });
    const bundles = seen.bundles.filter((bundle) => bundle.host === host);
    const plan = planBundled({ ...seen.base, moves }, bundles, (state) =>
      nextPlan(withUnderway(state, seen.underway), seen.contents),
    );
    return showPlan(plan, { from: host, to, deadlineAtMs }, seen);
  }

  async recording(): Promise<FleetRecording> {
    return recordFleet(await this.#look.lookThrough());
  }

  async commonality(host?: string): Promise<CommonPairView[]> {
    if (host !== undefined) this.#refuseUnknown('host', host, null);
    return showCommonality((await this.#look.lookThrough()).picture, host);
  }

  hostCommonality(host: string, isExact: boolean): Promise<CommonalityView> {
    this.#refuseUnknown('host', host, null);
    return this.hosts.commonality(host, isExact);
  }

  async evacuate(request: EvacuateBody): Promise<EvacuationView> {
    const { from, to } = request;
    this.#refuseUnknown('from', from, to ?? null);
    if (to !== undefined) await this.#refuseLeft(to);
    const look = await this.look(true);
    refuseAbsent(look, from, request);
    refuseOwnAddresses(look.file, look.picture, from, to ?? null);
    return await this.evacuations.request(request, 'person');
  }

  listEvacuations(limit: number): Promise<EvacuationView[]> {
    return this.evacuations.list(limit);
  }

  showEvacuation(id: string): Promise<EvacuationView> {
    return this.evacuations.show(id);
  }

  cancelEvacuation(id: string): Promise<EvacuationView> {
    return this.evacuations.cancel(id);
  }

  async setMaintenance(host: string, { on, reason, evacuate = true }: MaintenanceBody): Promise<MaintenanceAnswer> {
    this.#refuseUnknown('host', host, null);
    const open = on && evacuate ? (await this.evacuations.open()).filter(({ from }) => from === host) : [];
    const whole = open.find(({ onlyVms, skip, isCancelling }) => !onlyVms && skip.length === 0 && !isCancelling);
    const other = whole ? undefined : open[0]?.id;
    if (other !== undefined) {
      const reason = `evacuation ${other} moves some of its VMs: wait for its end, cancel it, or only mark the host (--stay)`;
      throw new GodwitError('GW_CONFLICT', { kind: 'host', name: host, reason });
    }
    const before = (await this.#maintenance.marks()).get(host);
    const mark = on ? markOf(reason, evacuate, before) : null;
    await this.#maintenance.set(host, mark);
    const maintenance = mark && showMark(mark);
    if (!on || !evacuate) return { host, maintenance, evacuation: null };
    const evacuation = whole ?? (await this.evacuations.request({ from: host }, 'maintenance'));
    return { host, maintenance, evacuation: evacuation.id };
  }

  forgetHost(host: string): Promise<ForgottenHost> {
    return forgetHost(host, this.#options.registered ?? null, this.evacuations);
  }

  async balance({ dryRun = false, to }: BalanceBody): Promise<BalanceView> {
    if (to !== undefined) this.#refuseUnknown('to', to, null);
    const order = { isDry: dryRun, newHost: to ?? null, initiator: 'balancer' } as const;
    const view = await this.balancing.balance(await this.look(true), order);
    if (!dryRun) this.events.emit({ kind: 'balanced', balance: view });
    return view;
  }

  async lead({ atLeast }: LeadBody): Promise<Leader> {
    const { raise, name } = this.#options;
    if (raise) return await raise(atLeast);
    throw new GodwitError('GW_CONFLICT', { kind: 'controller', name, reason: 'there is none, and no epoch' });
  }

  history(query: HistoryQuery): Promise<FleetHistoryView> {
    return this.finished.search(query);
  }

  callHost(host: string, call: HostCall): Promise<HostReply> {
    this.#refuseUnknown('host', host, null);
    return this.hosts.call(host, call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.evacuations[Symbol.asyncDispose]();
    await this.hosts[Symbol.asyncDispose]();
  }

  async #lookForAll(): Promise<SharedLook> {
    const asked = await this.#look.ask(false);
    return {
      pictureFor: ({ onlyVms, together }) => withStaying(this.#look.see(asked, together).picture, onlyVms),
    };
  }

  /** @throws GW_CONFLICT */
  async #refuseLeft(name: string): Promise<void> {
    refuseLeft(name, (await this.#maintenance.marks()).has(name), await this.evacuations.open());
  }

  /** @throws GW_INPUT_INVALID */
  #refuseUnknown(field: string, from: string, to: string | null): void {
    refuseUnknown(this.file, field, from, to);
  }
}
