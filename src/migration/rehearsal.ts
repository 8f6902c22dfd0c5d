/**
 * What a migration's thread does before it has anything to do: opening and switchover, with nobody waiting for it.
 *
 * Code that runs for the first time has to be compiled and its shapes learned; in a switchover, which every thread goes
 * through once, that costs more than the work itself, while a VM stands still.
 * Owns: both sides' way through a switchover with a stand-in for QEMU and a page or two of memory. Must hold: nothing of
 * it is left, and a rehearsal that fails is only a slower migration.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import { formatDuration } from '../base/units.ts';
import { RamFile } from '../linux/ram-file.ts';
import { closeFd } from '../linux/socket.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { loadDeviceState } from '../qemu/device-state-load.ts';
import { saveDeviceState } from '../qemu/device-state-save.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { contVm } from '../qemu/run-state.ts';
import { StandInQemu } from '../qemu/stand-in.ts';
import { StateOutlet } from '../qemu/state-outlet.ts';
import { Pacer } from '../transfer/pacer.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { ConsoleCarrier } from './console-carrier.ts';
import { type ArrivedPages, DestinationReceiver } from './destination-receiver.ts';
import { routeFrames, sendControl } from './frame-router.ts';
import { Journal } from './journal.ts';
import { listen } from './listener.ts';
import { compareClocks, type OpenedConnection, openConnection, takeAnswer } from './opening.ts';
import type { PageChannel } from './page-channel-thread.ts';
import type { PageCarrier } from './page-channels.ts';
import { PageSender } from './page-sender.ts';
import { rehearseSteps } from './rehearsed-steps.ts';
import { encodeJoin, newSessionKey } from './source-offer.ts';
import { NO_MARKS } from './source-report.ts';
import { sendRest } from './source-switchover.ts';
import { StateSender } from './state-sender.ts';
import type { ThreadData } from './worker-port.ts';

type Rehearsal = NonNullable<ThreadData['rehearsal']>;

/** From the third time on nothing gets quicker. */
const TIMES = 3;
const PAGES = 256;
const HOST = 'rehearsal';
/** A machine on which it takes longer has other worries. */
const LIMIT_MS = 2_000;
const ALL: PageRun[] = [{ first: 0, count: PAGES }];

/**
 * @param directory - is there; rehearsals of other threads may be in it
 * @param needed - [0] turns to 1 when the thread is needed: then nothing is begun any more
 * @returns what went wrong, for whom it may concern; the thread is as good as one that has not rehearsed
 */
export async function rehearse(
  { directory, needed }: Rehearsal,
  limitMs: number = LIMIT_MS,
): Promise<string | undefined> {
  const signal = AbortSignal.timeout(limitMs);
  try {
    for (let i = 0; i < TIMES && Atomics.load(needed, 0) === 0; i++) {
      rehearseSteps();
      await performIn(mkdtempSync(join(directory, 'r')), signal);
    }
    return undefined;
  } catch (error) {
    const why = signal.aborted ? `it took longer than ${formatDuration(limitMs)}` : asGodwitError(error).message;
    return `The switchover could not be rehearsed and will take longer: ${why}`;
  }
}

async function performIn(stage: string, signal: AbortSignal): Promise<void> {
  using stack = new DisposableStack();
  stack.defer(() => rmSync(stage, { recursive: true, force: true }));
  await Promise.race([perform(stage, stack, signal), once(signal, 'abort').then(() => signal.throwIfAborted())]);
}

async function perform(stage: string, stack: DisposableStack, signal: AbortSignal): Promise<void> {
  stack.use(await StandInQemu.open(join(stage, 'qmp')));
  const qmp = stack.use(await QmpClient.connect(join(stage, 'qmp'), { signal }));
  const memory = stack.use(scratchMemory(join(stage, 'ram')));
  const { opened, destination } = await openPair(signal);
  stack.defer(() => opened.connection.destroy());
  stack.defer(() => destination.destroy());
  await performSwitchover({ stage, signal, qmp, memory, opened, destination });
}

interface Stage {
  /** A directory. */
  readonly stage: string;
  readonly signal: AbortSignal;
  readonly qmp: QmpClient;
  readonly memory: GuestMemory;
  readonly opened: OpenedConnection;
  readonly destination: StreamConnection;
}

/** As source.ts and destination.ts go through it. */
async function performSwitchover({ stage, signal, qmp, memory, opened, destination }: Stage): Promise<void> {
  using journal = Journal.create(join(stage, 'journal', 'outgoing.journal'));
  const load = loadDeviceState(qmp, join(stage, 'load'), { logPath: join(stage, 'log'), signal });
  const receiver = openReceiver(memory, (part) => load.write(part));
  await load.ready;
  const committed = Promise.withResolvers<void>();
  routeFrames(destination, {
    binary: (name, payload) => receiver.take(name, payload),
    control: (message) => {
      if (message.kind === 'stopped') receiver.takeStopped();
      if (message.kind === 'stateEnd') receiver.takeStateEnd(message);
      if (message.kind === 'commit') committed.resolve();
    },
  });
  const clockComparison = await compareClocks(opened, HOST);
  const source = opened.connection;
  routeFrames(source, {
    binary: () => undefined,
    control: () => {
      journal.append({ side: 'source', kind: 'committed', epoch: 1 });
      sendControl(source, { kind: 'commit', epoch: 1 });
    },
  });
  const outlet = await StateOutlet.open(join(stage, 'save'));
  const pacer = new Pacer(0);
  const state = new StateSender(saveDeviceState(qmp, outlet, { signal }), source, pacer);
  await state.stopped();
  await sendRest({
    guest: { memory, layout: memory.layout, canReturnMemory: false, tracker: { collect: () => ALL } },
    connection: source,
    sender: new PageSender(STAND_IN_CHANNELS, pacer),
    sentFrames: () => 0,
    state,
    pacer,
    signal,
    console: new ConsoleCarrier(null),
    marks: { ...NO_MARKS },
    clockComparison,
    verify: null,
    remaining: ALL,
    announced: null,
    held: null,
    sealed: undefined,
  });
  const { state: devices } = await receiver.takeWholeState(false);
  await load.write(devices);
  await load.end();
  await load.loaded;
  sendControl(destination, { kind: 'loaded', digest: null, loadMs: 1, timings: {} });
  await committed.promise;
  await contVm(qmp, { signal });
}

function openReceiver(memory: GuestMemory, feed: (part: Uint8Array) => Promise<void>): DestinationReceiver {
  const ignore = (): void => undefined;
  const receiver = new DestinationReceiver({
    verify: null,
    arrivals: STAND_IN_ARRIVALS,
    onPages: ignore,
    onProgress: ignore,
    onMissing: ignore,
    openPager: () => {
      throw new GodwitError('GW_INTERNAL', { reason: 'a page is missing in a rehearsal' });
    },
  });
  const feedState = (part: Uint8Array): void => {
    feed(part).catch(ignore);
  };
  receiver.open({ memory, record: { consoleLogPath: null }, feedState });
  return receiver;
}

/** Threads of their own carry the pages: what is rehearsed here is handing them over. */
const CHANNEL: PageChannel = {
  jobs: 0,
  send: ({ runs }) => {
    const pages = countPages(runs);
    const bytes = pages * PAGE_SIZE;
    return Promise.resolve({ pages, zeroPages: 0, resentPages: 0, bytes, frames: 1, outcome: undefined });
  },
};
const STAND_IN_CHANNELS: PageCarrier = {
  free: () => Promise.resolve(CHANNEL),
  channelOf: () => CHANNEL,
  openCount: 1,
  bytesSent: 0,
  unacknowledgedBytes: 0,
};
const STAND_IN_ARRIVALS: ArrivedPages = {
  open: () => undefined,
  forget: () => undefined,
  reached: () => Promise.resolve(),
  seal: () => undefined,
  missedPages: 0,
  receivedPages: 0,
};

function scratchMemory(path: string): GuestMemory {
  const bytes = PAGES * PAGE_SIZE;
  // Half of it holds something.
  writeFileSync(path, Buffer.alloc(bytes / 2, 1));
  truncateSync(path, bytes);
  return new GuestMemory(new RamLayout([{ id: 'ram', bytes }]), [RamFile.open(path, bytes)]);
}

/** Two ends of one connection inside this process, opened as every connection of a migration is. */
async function openPair(signal: AbortSignal): Promise<{ opened: OpenedConnection; destination: StreamConnection }> {
  const come = Promise.withResolvers<StreamConnection>();
  const strange = new GodwitError('GW_INTERNAL', { reason: 'somebody else called' });
  await using stack = new AsyncDisposableStack();
  const listener = await listen({
    ...{ host: '127.0.0.1', port: 0, hostName: HOST, dscp: null, tls: null, features: [] },
    screen: () => Promise.reject(strange),
    onOffer: (_, fd) => closeFd(fd),
    onJoin: (_, takeFd, peer) => {
      come.resolve(StreamConnection.fromFd(takeFd(), { peer, peerRole: 'source', preface: 'seen' }));
      return 'taken';
    },
  });
  stack.defer(() => listener.close());
  const opened = await openConnection(`127.0.0.1:${listener.port}`, HOST, { dscp: null, tls: null }, signal);
  await opened.connection.send(encodeJoin(newSessionKey(), 'resume'));
  const destination = await come.promise;
  sendControl(destination, { kind: 'joined', phase: 'receiving', epoch: 1 });
  await takeAnswer(opened, HOST);
  return { opened, destination };
}
