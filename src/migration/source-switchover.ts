/**
 * The switchover's second half at the source: the VM is stopped, everything that is left is sent (V4, V5).
 *
 * Owns: the order. Last pages and the device state go at the same time; what the device emulation wrote while it saved
 * is collected once more and sent behind; `stateEnd` comes last, and only then does the destination load.
 * Must hold: every page that the destination could have an outdated copy of is either sent here or on the list of
 * missing pages that is complete before `stateEnd`; so is the seal of its disks.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { countPages, type PageRun, subtractRuns } from '../base/page.ts';
import { uniteRuns } from '../base/page-bitmap.ts';
import { createPageDigest, type DigestScheme, digestMemory, type MemoryDigest } from '../memory/digest.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { type HeldPages, holdsTheSame, readHeldPages } from '../memory/held-pages.ts';
import { StagingBuffer } from '../memory/staging.ts';
import type { Connection } from '../transfer/connection.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { encodeDigestedPagesHeader, encodePagesHeader, encodeRunList, encodeZeroPages } from '../wire/encoder.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { ConsoleCarrier } from './console-carrier.ts';
import type { ClockComparison } from './opening.ts';
import type { PageSender } from './page-sender.ts';
import type { SourceGuest } from './source-guest.ts';
import type { SwitchoverMarks } from './source-report.ts';
import type { StateSender } from './state-sender.ts';

/**
 * Pages that QEMU reads while it loads: the beginning of the option ROMs at 0xC0000, where its interrupt controller
 * looks. Asked for one by one they would cost a round trip each while the VM stands still.
 */
const READ_WHILE_LOADING: readonly number[] = [0xc0, 0xc1, 0xc2];

/** What of a VM that stands still is looked at. */
export type StoppedGuest = Pick<SourceGuest, 'memory' | 'layout' | 'canReturnMemory'> & {
  readonly tracker: Pick<DirtyTracker, 'collect'>;
};

export interface SwitchoverPort {
  readonly guest: StoppedGuest;
  readonly connection: Connection;
  readonly sender: PageSender;
  /** On all page channels so far. */
  sentFrames(): number;
  readonly state: Pick<StateSender, 'proceed' | 'sent'>;
  readonly pacer: Pacer;
  readonly signal: AbortSignal;
  readonly console: ConsoleCarrier;
  readonly marks: SwitchoverMarks;
  readonly clockComparison: ClockComparison;
  readonly verify: DigestScheme | null;
  /** Pages known to be unsent when the rounds ended. */
  readonly remaining: readonly PageRun[];
  /** Pages that the destination was told before the stop that it will miss; null when none will be missing. */
  readonly announced: readonly PageRun[] | null;
  /** Resolves when the VM's requests change nothing on its disks any more. */
  readonly sealed: Promise<void> | undefined;
  /** Nothing tracks writes, because every page with content is missing (pure post-copy): these. */
  readonly held: HeldPages | null;
}

export interface SwitchoverResult {
  /** Everything that the destination lacks. */
  readonly missing: readonly PageRun[];
  /** Since the last round, as far as writes are tracked. */
  readonly written: readonly PageRun[];
  /** Of what the destination has; with `verify`. */
  readonly digest: MemoryDigest | null;
  /** Of what it lacks, to be compared when it has that, too. */
  readonly missingDigest: MemoryDigest | null;
}

export async function sendRest(port: SwitchoverPort, clock: Clock = SYSTEM_CLOCK): Promise<SwitchoverResult> {
  const { marks } = port;
  // The limit is for the guest's sake; while it stands still only speed helps it. Other migrations of the host wait.
  port.pacer.suspend();
  try {
    const proceeding = port.state.proceed();
    // It is awaited below; if something else fails first, nobody hears of it.
    proceeding.catch(() => undefined);
    const written = port.held ? [] : port.guest.tracker.collect();
    const first = port.held ? [] : unite(port, port.remaining, written);
    const held = port.held && (await heldNow(port, port.held));
    const lastPages = port.announced ? 0 : await sendPages(port, first);
    // While QEMU saves.
    let missing = port.announced ? await sendMissing(port, port.announced, held ? held.runs : first) : [];
    marks.lastPagesAtMs = clock.wallMs();
    await proceeding;
    const stateBytes = await port.state.sent;
    marks.stateSavedAtMs = clock.wallMs();
    const late = held ? appearedSince(port, held) : port.guest.tracker.collect();
    const latePages = port.announced ? 0 : await sendPages(port, late);
    if (port.announced) missing = await sendMissing(port, missing, late);
    if (port.announced) await sendReadWhileLoading(port, missing);
    const digestFromMs = clock.nowMs();
    const digest = port.verify ? digestOf(port, subtractRuns(allPages(port), missing)) : null;
    const missingDigest = port.verify && missing.length > 0 ? digestOf(port, missing) : null;
    marks.digestMs = digest ? clock.nowMs() - digestFromMs : 0;
    await port.console.sendRest(port.connection, port.pacer);
    // The fence: what follows lets the destination load, and the commit lets it write.
    await port.sealed;
    await port.connection.send(
      encodeControl({
        kind: 'stateEnd',
        bytes: stateBytes,
        stoppedAtMs: marks.stoppedAtMs,
        clockOffsetMs: port.clockComparison.offsetMs,
        clockUncertaintyMs: port.clockComparison.uncertaintyMs,
        lastPages: lastPages + latePages,
        frames: port.sentFrames(),
        missingPages: countPages(missing),
        digest,
      }),
    );
    marks.stateSentAtMs = clock.wallMs();
    return { missing, written: unite(port, written, late), digest, missingDigest };
  } finally {
    port.pacer.resume();
  }
}

async function sendPages(port: SwitchoverPort, runs: readonly PageRun[]): Promise<number> {
  const counts = await port.sender.send(runs, { signal: port.signal, inOrder: true });
  return counts.pages;
}

/**
 * The pages that hold anything, now that the VM stands still: as announced, if none has appeared since. If it could give
 * memory back meanwhile its size says nothing, and all of it is looked through, while QEMU saves.
 */
async function heldNow({ guest }: SwitchoverPort, announced: HeldPages): Promise<HeldPages> {
  if (!guest.canReturnMemory && holdsTheSame(guest.memory, announced)) return announced;
  return await readHeldPages(guest.memory);
}

/** What the device emulation touched first while it saved. */
function appearedSince({ guest: { memory } }: SwitchoverPort, held: HeldPages): readonly PageRun[] {
  return holdsTheSame(memory, held) ? [] : subtractRuns(memory.dataRuns(), held.runs);
}

/**
 * On this connection, before the end of the state, and after the last list, so that none of them is outdated when it is
 * read. They stay on the list of missing pages, and come once more with the others.
 */
async function sendReadWhileLoading(port: SwitchoverPort, missing: readonly PageRun[]): Promise<void> {
  const isMissing = (page: number): boolean =>
    missing.some(({ first, count }) => page >= first && page < first + count);
  const runs = READ_WHILE_LOADING.filter(isMissing).map((first) => ({ first, count: 1 }));
  if (runs.length === 0) return;
  const digest = port.verify ? createPageDigest(port.verify) : undefined;
  const { dataRuns, zeroRuns, parts } = new StagingBuffer(READ_WHILE_LOADING.length).read(port.guest.memory, runs);
  if (zeroRuns.length > 0) await port.connection.send(encodeZeroPages(zeroRuns));
  if (dataRuns.length === 0) return;
  const digests = digest?.digestParts(dataRuns, parts);
  const header = digests ? encodeDigestedPagesHeader(dataRuns, digests) : encodePagesHeader(dataRuns);
  await port.connection.send(header, ...parts);
}

/** Tells of the missing pages that were not announced. Returns all. */
async function sendMissing(
  port: SwitchoverPort,
  announced: readonly PageRun[],
  outdated: readonly PageRun[],
): Promise<readonly PageRun[]> {
  if (outdated.length === 0 || outdated === announced) return announced;
  const added = subtractRuns(outdated, announced);
  for (const frame of encodeRunList('missingRuns', added)) await port.connection.send(frame);
  return unite(port, announced, added);
}

function digestOf(port: SwitchoverPort, runs: readonly PageRun[]): MemoryDigest {
  return digestMemory(port.guest.memory, { scheme: port.verify!, runs });
}

function allPages(port: SwitchoverPort): PageRun[] {
  return [{ first: 0, count: port.guest.layout.pageCount }];
}

function unite(port: SwitchoverPort, a: readonly PageRun[], b: readonly PageRun[]): readonly PageRun[] {
  return uniteRuns(a, b, port.guest.layout.pageCount);
}
