/**
 * Both sides of a shared region, the VMs of its group, the kernel's part and the connection between the hosts, explored
 * exhaustively: the steps are those of production.
 *
 * Owns: the world. At the source are VMs `a` and `b`, at the destination `c`. A VM touches any page at any time; a write
 * makes every other copy of the page stale. Instead of versions that grow without end a copy is marked as the latest or
 * as stale: all that a read needs. Files, kept copies, the message in hand and those on the way have such a mark.
 * VMs at the destination are alike, so those that have moved only make the access that they bring, and `c` all others.
 * The parts of `takeAway` and `install` are actions of their own, so VMs run between them; what concerns the daemon alone
 * goes with the event before it. Time is not modelled: whatever can happen may happen next.
 */
import type { PageIndex } from '../../src/base/page.ts';
import type { PageTable } from '../../src/sharing/page-table.ts';
import {
  type DestinationRegion,
  type DestinationRegionEvent,
  openDestinationRegion,
  stepDestinationRegion,
} from '../../src/sharing/region-destination.ts';
import {
  canPush,
  openSourceRegion,
  type SourceRegion,
  type SourceRegionEvent,
  stepSourceRegion,
} from '../../src/sharing/region-source.ts';
import type { DestinationAction, RegionMessage, RegionStep, SourceAction } from '../../src/sharing/region-words.ts';
import { Broken, type Space, type SpaceAction } from './state-space.ts';

export interface SharingBudget {
  readonly cuts: number;
  /** Times at which everything that was asked for is overdue, on either side. */
  readonly timeOuts: number;
  /** Migrations of a stopped VM that fail, so that it runs at the source again. */
  readonly failedMigrations: number;
  /** Accesses of threads that are no vCPUs, while the state of a stopped VM is saved or loaded. */
  readonly deviceAccesses: number;
}

export interface SharingScenario {
  readonly pages: number;
  /** Of the VMs that are at the source. */
  readonly vms: readonly string[];
  readonly windowPages: number;
  readonly pushWindowPages: number;
  readonly completeAtPages: number;
  readonly canStopInFault: boolean;
  /** A stop does not come back in a fault, although `canStopInFault` says so. */
  readonly stopHangs: boolean;
  readonly budget: SharingBudget;
  readonly stepSource: (region: SourceRegion, event: SourceRegionEvent) => RegionStep<SourceAction>;
  readonly stepDestination: (region: DestinationRegion, event: DestinationRegionEvent) => RegionStep<DestinationAction>;
  /** How each side takes a page away. */
  readonly takeAway: Readonly<Record<SideName, readonly FileStep[]>>;
  /** Marks of write protection stay behind when a page is punched out, as they may in the kernel. */
  readonly leavesMarks: boolean;
  /** What it does about a write to a protected page: unprotect in turn, at once, or nothing. */
  readonly onWriteFault: 'inTurn' | 'atOnce' | 'never';
  /** Whether it says once more that a VM has stopped when its state is saved. */
  readonly tellsSaved: boolean;
}

export type FileStep = 'protect' | 'read' | 'punch' | 'wakeAll';
/** As docs/sharing.md says. */
export const TAKE_AWAY: readonly FileStep[] = ['protect', 'read', 'punch', 'wakeAll'];

/** As large as can be explored, without faults; TCG. */
export const SMALL_GROUP: SharingScenario = {
  pages: 2,
  vms: ['a', 'b'],
  windowPages: 2,
  pushWindowPages: 1,
  completeAtPages: 1,
  canStopInFault: false,
  stopHangs: false,
  budget: { cuts: 0, timeOuts: 0, failedMigrations: 0, deviceAccesses: 0 },
  stepSource: stepSourceRegion,
  stepDestination: stepDestinationRegion,
  takeAway: { source: TAKE_AWAY, destination: TAKE_AWAY },
  leavesMarks: false,
  onWriteFault: 'inTurn',
  tellsSaved: true,
};

const NONE = 0;
const STALE = 1;
const LATEST = 2;
type Content = 0 | 1 | 2;

type Sent = RegionMessage & { readonly content: Content };
type Work =
  | { readonly kind: FileStep; readonly page: PageIndex }
  | Exclude<SourceAction | DestinationAction, { kind: 'takeAway' }>;

interface SideWorld<Region> {
  region: Region;
  connected: boolean;
  work: Work[];
  /** The region's file: NONE is a hole. */
  file: Content[];
  /** Kept until acknowledged. */
  copies: Content[];
  /** Write-protected, in whichever process. */
  isProtected: boolean[];
  /** The data of the message that is being handled. */
  hand: Content;
  /** Since there is work something has been sent. */
  hasSent: boolean;
}

interface Vm {
  readonly name: string;
  atSource: boolean;
  /** `saved`: its state is saved, and is being loaded at the destination. */
  stop: 'no' | 'asked' | 'done' | 'saved';
  forGood: boolean;
  toldOverdue: boolean;
  /** An access that has not been made. `blocked`: a write to a protected page. `woken`: to be tried again. */
  access: { readonly page: PageIndex; readonly state: 'faulted' | 'reported' | 'blocked' | 'woken' } | null;
}

export interface SharingWorld {
  budget: { cuts: number; timeOuts: number; failedMigrations: number; deviceAccesses: number };
  wireUp: boolean;
  toDestination: Sent[];
  toSource: Sent[];
  source: SideWorld<SourceRegion>;
  destination: SideWorld<DestinationRegion>;
  vms: Vm[];
  freed: boolean;
}

type Action = SpaceAction<SharingWorld>;
export type SideName = 'source' | 'destination';
const SIDE_NAMES: readonly SideName[] = ['source', 'destination'];

export function openSharingSpace(scenario: SharingScenario): Space<SharingWorld> {
  return {
    first: firstWorld(scenario),
    copy: copyWorld,
    keyOf,
    actionsOf: (world) => actionsOf(world, scenario),
    brokenRule: (world) => brokenRule(world, scenario),
    brokenEnd: (world) => brokenEnd(world, scenario),
  };
}

function firstWorld(scenario: SharingScenario): SharingWorld {
  const { pages, windowPages, pushWindowPages, completeAtPages, canStopInFault } = scenario;
  const shared = { pages, windowPages, askAgainMs: 1 };
  const vms = scenario.vms.map((vm) => ({ vm, canStopInFault }));
  const side = <Region>(region: Region, content: Content): SideWorld<Region> => ({
    region,
    connected: true,
    work: [],
    file: Array(pages).fill(content),
    copies: Array(pages).fill(NONE),
    isProtected: Array(pages).fill(false),
    hand: NONE,
    hasSent: false,
  });
  const vm = (name: string, atSource: boolean): Vm => ({
    name,
    atSource,
    stop: 'no',
    forGood: false,
    toldOverdue: false,
    access: null,
  });
  return {
    budget: { ...scenario.budget },
    wireUp: true,
    toDestination: [],
    toSource: [],
    source: side(openSourceRegion({ ...shared, vms, pushWindowPages, completeAtPages }), LATEST),
    destination: side(openDestinationRegion(shared), NONE),
    vms: [...scenario.vms.map((name) => vm(name, true)), vm('c', false)],
    freed: false,
  };
}

/** What must hold in every state. */
function brokenRule(world: SharingWorld, scenario: SharingScenario): string | null {
  const { source, destination } = world;
  const { failedMigrations, deviceAccesses } = scenario.budget;
  const stops = scenario.vms.length + failedMigrations + deviceAccesses;
  for (let page = 0; page < scenario.pages; page++) {
    const here = source.file[page]!;
    const there = destination.file[page]!;
    if (here !== NONE && there !== NONE) return 'a page is at both sides';
    if (here === STALE || there === STALE) return 'a VM can read what is stale';
    const kept = [here, there, source.copies[page], destination.copies[page]];
    if (!kept.includes(LATEST)) return 'the latest write is kept nowhere';
    const turns = Math.max(source.region.table.turns[page]!, destination.region.table.turns[page]!);
    if (turns > 1 + 2 * stops) return 'a page is lent more often than VMs are stopped';
    if (scenario.canStopInFault && !scenario.stopHangs && turns > 1) return 'a page is lent where a stop suffices';
  }
  for (const side of [source, destination]) {
    if (side.copies.filter((copy) => copy !== NONE).length > scenario.windowPages) return 'more copies than the window';
  }
  return null;
}

/** What must hold where nothing happens by itself. */
function brokenEnd(world: SharingWorld, scenario: SharingScenario): string | null {
  const { source, destination, vms } = world;
  if (vms.some(({ access }) => access !== null)) return 'a VM waits for ever';
  if (vms.some(({ stop, atSource }) => atSource && stop !== 'no')) return 'a VM stands for ever';
  if (source.region.table.leaving.size + destination.region.table.leaving.size > 0) return 'a copy is kept for ever';
  const left = source.file.flatMap((content, page) => (content === NONE ? [] : [page]));
  if (!world.freed && left.some((page) => !canPush(source.region, page))) return 'a page can never be pushed';
  if (vms.some(({ atSource }) => atSource) || left.length > scenario.completeAtPages) return null;
  return world.freed && destination.region.phase === 'complete' ? null : 'the end is never told';
}

/**
 * While a daemon is at work and has said nothing yet, only it and the VMs of its side act: what the others do commutes
 * with all of that, and is still possible afterwards.
 */
function actionsOf(world: SharingWorld, scenario: SharingScenario): Action[] {
  const actions: Action[] = [];
  const add = (isQuiet: boolean, name: string, apply: (world: SharingWorld) => void) =>
    actions.push({ isQuiet, name, apply });
  const busy = SIDE_NAMES.find((name) => world[name].work.length > 0 && !world[name].hasSent);
  if (busy) addWork(world, busy, scenario, add);
  else addDaemons(world, scenario, add);
  for (const [index, vm] of world.vms.entries()) {
    if (!busy || sideOf(vm) === busy) addVm(world, index, scenario, add);
  }
  return actions;
}

type Add = (isQuiet: boolean, name: string, apply: (world: SharingWorld) => void) => void;

function addWork(world: SharingWorld, name: SideName, { leavesMarks }: SharingScenario, add: Add): void {
  const [work] = world[name].work;
  add(true, `${name}: ${work!.kind} ${'page' in work! ? work.page : ''}`, (next) => {
    doWork(next, name, leavesMarks);
    doQuickWork(next, name, leavesMarks);
  });
}

/** What the daemons and the link do. */
function addDaemons(world: SharingWorld, scenario: SharingScenario, add: Add): void {
  const { source, destination, budget, wireUp } = world;
  for (const name of SIDE_NAMES) {
    const side = world[name];
    if (side.work.length > 0) {
      addWork(world, name, scenario, add);
      continue;
    }
    const queue = name === 'source' ? world.toSource : world.toDestination;
    if (queue.length > 0 && side.connected) {
      add(true, `${name} hears ${nameOf(queue[0]!)}`, (next) => {
        const message = (name === 'source' ? next.toSource : next.toDestination).shift()!;
        next[name].hand = message.content;
        give(next, name, { kind: 'received', message }, scenario);
      });
    }
    if (side.connected && !wireUp) {
      add(true, `${name} notices the cut`, (next) => {
        next[name].connected = false;
        give(next, name, { kind: 'linkLost' }, scenario);
      });
    }
    if (budget.timeOuts > 0 && side.region.table.asked.size > 0) {
      add(false, `${name}: time-out`, (next) => {
        next.budget.timeOuts--;
        give(next, name, { kind: 'timePassed', nowMs: 1 }, scenario);
      });
    }
  }
  const areIdle = source.work.length === 0 && destination.work.length === 0;
  if (!source.connected && !destination.connected && areIdle) {
    add(true, 'link is back', (next) => {
      Object.assign(next, { wireUp: true, toSource: [], toDestination: [] });
      next.source.connected = true;
      next.destination.connected = true;
      give(next, 'source', { kind: 'linkBack', nowMs: 0 }, scenario);
      give(next, 'destination', { kind: 'linkBack', nowMs: 0 }, scenario);
    });
  }
  if (wireUp && budget.cuts > 0) {
    add(false, 'cut', (next) => {
      next.budget.cuts--;
      Object.assign(next, { wireUp: false, toSource: [], toDestination: [] });
    });
  }
  if (source.work.length > 0) return;
  for (let page = 0; page < scenario.pages; page++) {
    if (canPush(source.region, page)) {
      add(false, `push ${page}`, (next) => give(next, 'source', { kind: 'push', page }, scenario));
    }
  }
}

/** What a VM does, and what the engine does with it. */
function addVm(world: SharingWorld, index: number, scenario: SharingScenario, add: Add): void {
  const vm = world.vms[index]!;
  const { name, access } = vm;
  const sideName = sideOf(vm);
  const side = world[sideName];
  const isIdle = side.work.length === 0;
  const isRunning = vm.stop === 'no' || vm.stop === 'asked';
  if (isRunning || world.budget.deviceAccesses < scenario.budget.deviceAccesses) {
    if (isRunning && access === null && (vm.atSource || name === 'c')) addAccesses(world, index, scenario, add);
    if (access?.state === 'woken') addRetry(world, index, access.page, add);
    if (access?.state === 'faulted' && isIdle) {
      add(true, `${sideName} reads that ${name} misses ${access.page}`, (next) => {
        next.vms[index]!.access = { page: access.page, state: 'reported' };
        give(next, sideName, { kind: 'accessed', page: access.page, vm: name, atMs: 0 }, scenario);
      });
    }
    const { onWriteFault } = scenario;
    if (access?.state === 'blocked' && onWriteFault !== 'never' && (isIdle || onWriteFault === 'atOnce')) {
      add(true, `${sideName} unprotects ${access.page}`, (next) => {
        next[sideName].isProtected[access.page] = false;
        next.vms[index]!.access = { page: access.page, state: 'woken' };
      });
    }
  }
  if (!vm.atSource) return;
  if (vm.stop === 'no') {
    add(false, `${name} is asked to stop`, (next) => {
      next.vms[index]!.stop = 'asked';
    });
  }
  const needsNone = !scenario.canStopInFault || scenario.stopHangs;
  if (vm.stop === 'asked' && isIdle && !(needsNone && access !== null)) {
    add(true, `${name} has stopped`, (next) => {
      const stopped = next.vms[index]!;
      stopped.stop = 'done';
      if (stopped.access) stopped.access = { page: stopped.access.page, state: 'woken' };
      give(next, 'source', { kind: 'vmStopped', vm: name }, scenario);
    });
  }
  if (scenario.stopHangs && vm.stop === 'asked' && isIdle && !vm.toldOverdue && access?.state === 'reported') {
    add(true, `${name} is overdue`, (next) => {
      next.vms[index]!.toldOverdue = true;
      give(next, 'source', { kind: 'vmOverdue', vm: name, atMs: 0 }, scenario);
    });
  }
  if (isRunning || !isIdle) return;
  if (scenario.budget.deviceAccesses > 0) {
    addDeviceAccesses(world, index, scenario, add);
    if (access !== null) return;
    if (vm.stop === 'done') {
      add(true, `${name} is saved`, (next) => {
        next.vms[index]!.stop = 'saved';
        if (scenario.tellsSaved) give(next, 'source', { kind: 'vmStopped', vm: name }, scenario);
      });
      return;
    }
    if (world.source.work.length > 0) return;
  }
  add(true, `${name} moves`, (next) => {
    Object.assign(next.vms[index]!, { atSource: false, stop: 'no', forGood: false, toldOverdue: false });
    give(next, 'source', { kind: 'vmLeft', vm: name }, scenario);
  });
  if (world.budget.failedMigrations === 0 || vm.forGood) return;
  add(false, `${name} is continued`, (next) => {
    next.budget.failedMigrations--;
    Object.assign(next.vms[index]!, { stop: 'no', toldOverdue: false });
    give(next, 'source', { kind: 'vmContinued', vm: name }, scenario);
  });
}

/** Accesses that change nothing are left out: what a VM reads is looked at by `brokenRule` in every state. */
function addAccesses(world: SharingWorld, index: number, scenario: SharingScenario, add: Add): void {
  const { name, atSource } = world.vms[index]!;
  const side = atSource ? world.source : world.destination;
  for (let page = 0; page < scenario.pages; page++) {
    if (side.file[page] === NONE || side.isProtected[page]) {
      const state = side.file[page] === NONE ? 'faulted' : 'blocked';
      add(false, `${name} touches ${page}`, (next) => {
        next.vms[index]!.access = { page, state };
      });
    } else if (hasOtherCopies(world, page)) {
      add(false, `${name} writes ${page}`, (next) => write(next, page, atSource));
    }
  }
}

function addDeviceAccesses(world: SharingWorld, index: number, scenario: SharingScenario, add: Add): void {
  const vm = world.vms[index]!;
  if (vm.access !== null || world.budget.deviceAccesses === 0) return;
  for (let page = 0; page < scenario.pages; page++) {
    if (world[sideOf(vm)].file[page] !== NONE) continue;
    add(false, `a device of ${vm.name} touches ${page}`, (next) => {
      next.budget.deviceAccesses--;
      next.vms[index]!.access = { page, state: 'faulted' };
    });
  }
}

function addRetry(world: SharingWorld, index: number, page: PageIndex, add: Add): void {
  const { name } = world.vms[index]!;
  const atSource = sideOf(world.vms[index]!) === 'source';
  const side = atSource ? world.source : world.destination;
  if (side.file[page] === NONE) {
    add(true, `${name} faults on ${page} again`, (next) => {
      next.vms[index]!.access = { page, state: 'faulted' };
    });
    return;
  }
  add(true, `${name} reads ${page} at last`, (next) => {
    next.vms[index]!.access = null;
  });
  if (side.isProtected[page]) {
    add(true, `${name} finds ${page} protected`, (next) => {
      next.vms[index]!.access = { page, state: 'blocked' };
    });
  } else if (hasOtherCopies(world, page)) {
    add(true, `${name} writes ${page} at last`, (next) => {
      write(next, page, atSource);
      next.vms[index]!.access = null;
    });
  }
}

/** Where what the VM accesses is looked for. */
function sideOf({ atSource, stop }: Vm): SideName {
  return atSource && stop !== 'saved' ? 'source' : 'destination';
}

function write(world: SharingWorld, page: PageIndex, atSource: boolean): void {
  const age = (content: Content | undefined): Content => (content === LATEST ? STALE : (content ?? NONE));
  for (const side of [world.source, world.destination]) {
    side.file[page] = age(side.file[page]);
    side.copies[page] = age(side.copies[page]);
    if (side.work.some((work) => work.kind === 'install' && work.page === page)) side.hand = age(side.hand);
  }
  const ageSent = (sent: Sent): Sent =>
    sent.kind === 'page' && sent.page === page ? { ...sent, content: age(sent.content) } : sent;
  world.toSource = world.toSource.map(ageSent);
  world.toDestination = world.toDestination.map(ageSent);
  (atSource ? world.source : world.destination).file[page] = LATEST;
}

/** Whether a write would make anything stale. */
function hasOtherCopies({ source, destination, toSource, toDestination }: SharingWorld, page: PageIndex): boolean {
  const isCopy = (sent: Sent) => sent.kind === 'page' && sent.page === page && sent.content === LATEST;
  return (
    source.copies[page] === LATEST ||
    destination.copies[page] === LATEST ||
    toSource.some(isCopy) ||
    toDestination.some(isCopy) ||
    (source.hand === LATEST && source.work.length > 0) ||
    (destination.hand === LATEST && destination.work.length > 0)
  );
}

function give(world: SharingWorld, name: 'source', event: SourceRegionEvent, scenario: SharingScenario): void;
function give(world: SharingWorld, name: 'destination', event: DestinationRegionEvent, scenario: SharingScenario): void;
function give(world: SharingWorld, name: SideName, event: DestinationRegionEvent, scenario: SharingScenario): void;
function give(world: SharingWorld, name: SideName, event: SourceRegionEvent, scenario: SharingScenario): void {
  const step =
    name === 'source'
      ? scenario.stepSource(world.source.region, event)
      : scenario.stepDestination(world.destination.region, event as DestinationRegionEvent);
  if (step.kind === 'refused') throw new Broken(`the ${name} refuses: ${step.rule}`);
  for (const action of step.actions) {
    if (action.kind !== 'takeAway') world[name].work.push(action);
    else for (const kind of scenario.takeAway[name]) world[name].work.push({ kind, page: action.page });
  }
  doQuickWork(world, name, scenario.leavesMarks);
}

/** Up to the next part that a VM could come between. */
function doQuickWork(world: SharingWorld, name: SideName, leavesMarks: boolean): void {
  const { work } = world[name];
  while (work.length > 0 && !canBeComeBefore(world[name], work[0]!)) doWork(world, name, leavesMarks);
  if (work.length === 0) Object.assign(world[name], { hand: NONE, hasSent: false });
}

/** Protecting a page of which nothing was read is the same to a VM as the event before it. */
function canBeComeBefore({ copies }: SideWorld<unknown>, work: Work): boolean {
  if (work.kind === 'protect') return copies[work.page] !== NONE;
  return work.kind === 'read' || work.kind === 'punch' || work.kind === 'install';
}

function doWork(world: SharingWorld, name: SideName, leavesMarks: boolean): void {
  const side = world[name];
  const work = side.work.shift()!;
  const wake = (page: PageIndex, isWoken: (vm: Vm) => boolean) => {
    for (const vm of world.vms) {
      if (sideOf(vm) === name && vm.access?.page === page && isWoken(vm)) {
        vm.access = { page, state: 'woken' };
      }
    }
  };
  switch (work.kind) {
    case 'protect':
      side.isProtected[work.page] = true;
      return;
    case 'read':
      // A hole reads as zeros, which is what nobody wrote here.
      side.copies[work.page] = side.file[work.page] === NONE ? STALE : side.file[work.page]!;
      return;
    case 'punch':
      side.file[work.page] = NONE;
      return;
    case 'wakeAll':
      if (!leavesMarks) side.isProtected[work.page] = false;
      wake(work.page, ({ access }) => access?.state === 'blocked');
      return;
    case 'install':
      side.file[work.page] = side.hand;
      wake(work.page, ({ access }) => access?.state !== 'blocked');
      return;
    case 'wake':
      wake(work.page, ({ name: vm, access }) => vm === work.vm && access?.state !== 'blocked');
      return;
    case 'forget':
      side.copies[work.page] = NONE;
      return;
    case 'send':
      send(world, name, work.message);
      return;
    case 'stopVm': {
      const vm = world.vms.find((each) => each.name === work.vm)!;
      if (vm.stop === 'no') vm.stop = 'asked';
      vm.forGood = work.forGood;
      return;
    }
    case 'free':
      world.freed = true;
      side.file.fill(NONE);
      side.copies.fill(NONE);
      return;
    case 'unwatch':
      return;
  }
}

function send(world: SharingWorld, name: SideName, message: RegionMessage): void {
  world[name].hasSent = true;
  if (!world.wireUp || !world[name].connected) return;
  const content = message.kind === 'page' ? world[name].copies[message.page]! : NONE;
  if (message.kind === 'page' && content === NONE) throw new Broken('a page is sent without a copy');
  (name === 'source' ? world.toDestination : world.toSource).push({ ...message, content });
}

function nameOf(message: RegionMessage): string {
  return 'page' in message ? `${message.kind} ${message.page} turn ${message.turn}` : message.kind;
}

function copyWorld(world: SharingWorld): SharingWorld {
  const { source, destination } = world;
  return {
    budget: { ...world.budget },
    wireUp: world.wireUp,
    toDestination: world.toDestination.slice(),
    toSource: world.toSource.slice(),
    source: copySide(source, {
      ...source.region,
      table: copyTable(source.region.table),
      vms: source.region.vms.map((vm) => ({ ...vm, waitsFor: new Set(vm.waitsFor) })),
      stoppingAccesses: [],
    }),
    destination: copySide(destination, { ...destination.region, table: copyTable(destination.region.table) }),
    vms: world.vms.map((vm) => ({ ...vm })),
    freed: world.freed,
  };
}

function copySide<Region>(side: SideWorld<Region>, region: Region): SideWorld<Region> {
  return {
    region,
    connected: side.connected,
    work: side.work.slice(),
    file: side.file.slice(),
    copies: side.copies.slice(),
    isProtected: side.isProtected.slice(),
    hand: side.hand,
    hasSent: side.hasSent,
  };
}

function copyTable(table: PageTable): PageTable {
  const asked = new Map<PageIndex, number>();
  for (const page of table.asked.keys()) asked.set(page, 0);
  return {
    settings: table.settings,
    turns: table.turns.slice(),
    leaving: new Set(table.leaving),
    asked,
    owed: new Map(table.owed),
    tally: table.tally,
    linked: table.linked,
    here: table.here,
  };
}

const MESSAGES: Readonly<Record<RegionMessage['kind'], number>> = {
  page: 1,
  ask: 2,
  acknowledge: 3,
  complete: 4,
  completed: 5,
};
const WORKS = ['protect', 'read', 'punch', 'wakeAll', 'send', 'forget', 'install', 'wake', 'stopVm', 'free', 'unwatch'];
const PHASES = ['running', 'stopping', 'stopped', 'left'];
const STOPS = ['no', 'asked', 'done', 'saved'];
const STATES = ['faulted', 'reported', 'blocked', 'woken'];

/** Worlds that differ in which VM is which behave alike: the VMs are named by the order of their states. */
function keyOf(world: SharingWorld): string {
  const parts = world.vms.map((vm, index) => vmKey(vm, world.source.region.vms[index])).slice(0, -1);
  const order = parts.map((_, index) => index).sort((a, b) => (parts[a]! < parts[b]! ? -1 : 1));
  const places = new Map(order.map((index, place) => [world.vms[index]!.name, place]));
  let key = code(...Object.values(world.budget));
  key += code(Number(world.wireUp), Number(world.freed));
  for (const index of order) key += parts[index];
  key += vmKey(world.vms.at(-1)!, undefined);
  key += `|${world.toDestination.map(messageKey).join('')}|${world.toSource.map(messageKey).join('')}|`;
  const { phase, completeSaid, nextOfRest } = world.source.region;
  key += code(phase.length, Number(completeSaid), nextOfRest, world.destination.region.phase.length);
  return key + sideKey(world.source, places) + sideKey(world.destination, places);
}

function vmKey(vm: Vm, inRegion: SourceRegion['vms'][number] | undefined): string {
  const { access } = vm;
  let key = code(Number(vm.atSource), STOPS.indexOf(vm.stop), Number(vm.forGood), Number(vm.toldOverdue));
  key += access === null ? '-' : code(access.page, STATES.indexOf(access.state));
  if (inRegion === undefined) return key;
  let waits = 0;
  for (const page of inRegion.waitsFor) waits |= 1 << page;
  return key + code(PHASES.indexOf(inRegion.phase), inRegion.stopsByAccess, Number(inRegion.overdue), waits);
}

function sideKey(
  { region, connected, work, file, copies, isProtected, hand, hasSent }: SideWorld<{ table: PageTable }>,
  places: ReadonlyMap<string, number>,
): string {
  const { table } = region;
  let key = code(Number(connected), hand, Number(table.linked), Number(hasSent));
  for (let page = 0; page < file.length; page++) {
    key += code(table.turns[page]!, file[page]! * 8 + copies[page]! * 2 + Number(isProtected[page]));
  }
  key += `/${code(...table.leaving)}/${code(...table.asked.keys())}/`;
  for (const [page, reason] of table.owed) key += code(page, reason.length);
  for (const each of work) {
    key += code(
      64 + WORKS.indexOf(each.kind),
      'page' in each ? each.page : 0,
      'vm' in each ? (places.get(each.vm) ?? 9) : 0,
    );
    if (each.kind === 'send') key += messageKey({ ...each.message, content: NONE });
    if (each.kind === 'stopVm') key += code(Number(each.forGood));
  }
  return `${key}|`;
}

function messageKey(sent: Sent): string {
  if (!('page' in sent)) return code(MESSAGES[sent.kind]);
  return code(MESSAGES[sent.kind] + 8 * sent.page + 64 * sent.turn + 4096 * sent.content);
}

/** As characters above those that are used as marks. */
function code(...numbers: number[]): string {
  return String.fromCharCode(...numbers.map((number) => number + 200));
}
