/**
 * The control messages, one schema each. What they mean and when they are sent: docs/protocol.md.
 *
 * Owns: their fields and types. Must hold: every schema is strict and every number, text and list is bounded; hello,
 * welcome and refused never change their shape, in no version, so that two hosts can always tell each other that they
 * do not understand each other.
 */
import { z } from 'zod';
import { PAGE_SIZE } from '../base/page.ts';
import { offeredDisk, readyDisk } from './disk-messages.ts';
import type { ControlName } from './frame-types.ts';
import {
  MAX_ARGUMENT_LENGTH,
  MAX_ARGUMENTS,
  MAX_CPU_FEATURES,
  MAX_DISKS,
  MAX_FEATURES,
  MAX_GUEST_PAGES,
  MAX_HISTORY_SAMPLES,
  MAX_MEMORY_REGIONS,
  MAX_NOTES,
  MAX_PATH_LENGTH,
  MAX_SHARED_PAGES,
  MAX_SHARING_VMS,
  MAX_TEXT_LENGTH,
} from './limits.ts';
import {
  argument,
  count,
  digestScheme,
  durationMs,
  errorBody,
  type Immutable,
  jsonRecord,
  memoryDigest,
  sessionKey,
  text,
  timings,
  uuid,
  vmName,
  wallMs,
  word,
} from './message-fields.ts';

const version = z.int().min(1).max(65_535);
const features = z.array(z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'is not a feature name')).max(MAX_FEATURES);
const token = z.int().min(0).max(0xffff_ffff);
const round = z.int().min(0).max(0xffff_ffff);
/** Of at most 1 MiB each: more than any VM is moved in. */
const frames = z.int().min(0).max(0x7fff_ffff);
const pageTotal = z.int().min(0).max(MAX_GUEST_PAGES);
/** When QEMU stopped or resumed the VM, by its own event; null for a VM that was paused and stays paused. */
const eventMs = wallMs.nullable();

/** A message that says all by its name. */
const nothing: z.ZodType<object> = z.strictObject({});

const memory = z
  .strictObject({
    regions: z
      .array(
        z.strictObject({
          id: word,
          bytes: z
            .int()
            .min(PAGE_SIZE)
            .max(MAX_GUEST_PAGES * PAGE_SIZE)
            .multipleOf(PAGE_SIZE),
        }),
      )
      .min(1)
      .max(MAX_MEMORY_REGIONS),
  })
  .refine(
    ({ regions }) => regions.reduce((sum, region) => sum + region.bytes, 0) <= MAX_GUEST_PAGES * PAGE_SIZE,
    'is more memory than any VM has',
  )
  .refine(({ regions }) => new Set(regions.map((region) => region.id)).size === regions.length, 'repeats a region');

const offeredVm = z.strictObject({
  name: vmName,
  uuid: uuid.nullable(),
  wasRunning: z.boolean(),
  qemuVersion: word,
  machineType: word,
  accel: word,
  cpuModel: word,
  cpuFeatures: z.array(word).max(MAX_CPU_FEATURES),
  binary: argument(MAX_PATH_LENGTH),
  args: z.array(argument(MAX_ARGUMENT_LENGTH)).max(MAX_ARGUMENTS),
  memory,
  diskPaths: z.array(argument(MAX_PATH_LENGTH)).max(MAX_DISKS),
  /** Console output so far, which follows in consoleChunk frames. */
  consoleBytes: count,
  /** Whatever else helps the destination to decide; unknown keys are ignored. */
  facts: jsonRecord,
});

const sharedRegion = z.strictObject({
  name: vmName,
  bytes: z
    .int()
    .min(PAGE_SIZE)
    .max(MAX_SHARED_PAGES * PAGE_SIZE)
    .multipleOf(PAGE_SIZE),
});

const historySample = z.strictObject({
  atMs: wallMs,
  pagesPerSecond: z.number().min(0).max(1e12),
  /** What it was measured over. */
  ms: durationMs.optional(),
});

const postCopyStatistics = z.strictObject({
  faults: count,
  faultMicrosecondsP50: z.number().min(0).max(1e12),
  faultMicrosecondsP99: z.number().min(0).max(1e12),
  pushedPages: count,
  residentMs: durationMs,
});

/** What a destination can be at, as it tells a source that comes back. */
export const JOINED_PHASES = [
  'preparing',
  'waiting',
  'receiving',
  'loaded',
  'resuming',
  'pagingIn',
  'done',
  'failed',
  'cancelled',
  'lost',
] as const;

/** What a further connection of a migration is for; `region`: the connection of a shared region again. */
export const JOIN_PURPOSES = ['urgent', 'resume', 'pages', 'region'] as const;
export type JoinPurpose = (typeof JOIN_PURPOSES)[number];

export const MESSAGES = {
  hello: z
    .strictObject({ minVersion: version, maxVersion: version, features, host: word, software: word })
    .refine((hello) => hello.minVersion <= hello.maxVersion, 'has a minVersion above its maxVersion'),
  welcome: z.strictObject({ version, features, host: word, wallMs }),
  offer: z.strictObject({
    migrationId: uuid,
    /** What a further connection of this migration must show; chosen at random by the source. */
    sessionKey,
    /** The epoch that the VM has once it is the destination's. */
    epoch: count,
    mode: z.enum(['auto', 'pre-copy', 'post-copy', 'hybrid']),
    verify: digestScheme.nullable(),
    checkOnly: z.boolean(),
    sourceHost: word,
    vm: offeredVm,
    /** With the feature `disks`: those whose images are files or devices of a host. */
    disks: z.array(offeredDisk).max(MAX_DISKS).optional(),
  }),
  ready: z.strictObject({
    host: word,
    digestSchemes: z.array(digestScheme).max(2),
    notes: z.array(text(MAX_TEXT_LENGTH)).max(MAX_NOTES),
    /** As many as were offered, in their order. */
    disks: z.array(readyDisk).max(MAX_DISKS).optional(),
  }),
  notReady: z.strictObject({ reason: text(MAX_TEXT_LENGTH) }),
  /** A region that VMs share: it moves over this connection and no other. */
  offerRegion: z.strictObject({
    /** Of the group's migration. */
    group: uuid,
    sessionKey,
    sourceHost: word,
    region: sharedRegion,
    vms: z.array(vmName).min(1).max(MAX_SHARING_VMS),
  }),
  regionReady: z.strictObject({ host: word }),
  /** With the feature `early-pages`: pages may come while QEMU is being created. */
  begin: nothing,
  refused: z.strictObject({ error: errorBody }),
  join: z.strictObject({ sessionKey, purpose: z.enum(JOIN_PURPOSES) }),
  joined: z.strictObject({ phase: z.enum(JOINED_PHASES), epoch: count }),
  /** `asksReceived`, with the feature `received`: the answer is to say what has come. */
  ping: z.strictObject({ token, wallMs, asksReceived: z.boolean().optional() }),
  /** `receivedBytes`: over all page channels so far, of frames that are not whole yet as well. */
  pong: z.strictObject({ token, wallMs, receivedWallMs: wallMs, receivedBytes: count.optional() }),
  /** `frames`: on all page channels since the migration began; they are in place before the answer. */
  roundEnd: z.strictObject({ round, frames }),
  /** `waitedMs`: for pages that other VMs were to bring; absent: none were waited for. */
  roundAck: z.strictObject({ round, waitedMs: durationMs.optional() }),
  /** Sent before the VM is stopped; what follows on this connection belongs to the switchover. */
  switchover: z.strictObject({
    wasRunning: z.boolean(),
    pagesMissing: z.boolean(),
    /** How fast the VM has modified memory lately, this migration's rounds included (S5). */
    history: z.array(historySample).max(MAX_HISTORY_SAMPLES),
  }),
  /** The VM stands still; the stateChunk frames before this hold nothing that depends on guest memory. */
  stopped: nothing,
  stateEnd: z.strictObject({
    /** Of all stateChunk frames together. */
    bytes: count,
    stoppedAtMs: eventMs,
    /** The destination's clock minus the source's, and how far that may be off. */
    clockOffsetMs: z.number().min(-1e15).max(1e15),
    clockUncertaintyMs: durationMs,
    lastPages: pageTotal,
    /** As in roundEnd: they are in place before the VM is loaded. */
    frames,
    /** Pages on all missingRuns lists together; 0 without post-copy. */
    missingPages: pageTotal,
    digest: memoryDigest.nullable(),
  }),
  loaded: z.strictObject({ digest: memoryDigest.nullable(), loadMs: durationMs, timings }),
  commit: z.strictObject({ epoch: count }),
  resumed: z.strictObject({ epoch: count, resumedAtMs: eventMs, timings }),
  allPresent: z.strictObject({
    pages: pageTotal,
    /** null when no page was missing. */
    postCopy: postCopyStatistics.nullable(),
    digest: memoryDigest.nullable(),
    timings,
  }),
  release: nothing,
  released: nothing,
  abort: z.strictObject({ cancelled: z.boolean(), error: errorBody }),
  aborted: nothing,
  failed: z.strictObject({ owned: z.boolean(), error: errorBody }),
  regionBegin: nothing,
  regionComplete: nothing,
  regionCompleted: nothing,
  regionCancel: nothing,
} as const satisfies Record<ControlName, z.ZodType>;

/** The fields of one message. */
export type MessageBody<N extends ControlName> = Immutable<z.infer<(typeof MESSAGES)[N]>>;

/** One message: its fields and its name as `kind`. */
export type Message<N extends ControlName> = { readonly kind: N } & MessageBody<N>;

/** Any control message, told apart by `kind`. */
export type ControlMessage = { [N in ControlName]: Message<N> }[ControlName];

export type OfferedVm = MessageBody<'offer'>['vm'];
export type OfferedRegion = MessageBody<'offerRegion'>['region'];
export type MemoryDigestBody = Immutable<z.infer<typeof memoryDigest>>;
