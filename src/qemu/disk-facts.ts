/**
 * The disks of a running VM, as `query-block` tells them.
 */

export interface DiskFacts {
  /** The device or drive that it belongs to, as QEMU names it. */
  readonly name: string;
  /** The same for people: the id of the device, or of the drive where the device has none. */
  readonly id: string;
  /** QEMU's node, as its block jobs take it. */
  readonly node: string;
  /** Host path of the image, or QEMU's own description of what is no plain file (`nbd://…`, `json:{…}`). */
  readonly file: string;
  /** Host path of the file or block device that it is in the end, relative to QEMU's directory; null where none leads to it. */
  readonly image: string | null;
  readonly format: string;
  /** What the guest sees of it. */
  readonly virtualBytes: number;
  /** The images below it, as QEMU names them, the nearest first. */
  readonly backing: readonly string[];
  /** What a copy of the disk has not: internal snapshots and bitmaps that are kept in the image, by name. */
  readonly besides: readonly string[];
  readonly encrypted: boolean;
  readonly readonly: boolean;
  /** cache=unsafe: what the guest flushed may not be on the disk when the destination reads it. */
  readonly ignoresFlush: boolean;
  /** O_DIRECT: the disk writes guest memory past every page table, so no write-protection sees it. */
  readonly direct: boolean;
}

interface ImageEntry {
  readonly filename: string;
  readonly 'virtual-size': number;
  readonly 'backing-image'?: ImageEntry;
  readonly snapshots?: readonly { readonly name: string }[];
}

export interface QueryBlockEntry {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: {
    readonly file: string;
    readonly drv: string;
    readonly ro: boolean;
    readonly 'node-name'?: string;
    readonly encrypted?: boolean;
    readonly image?: ImageEntry;
    readonly 'dirty-bitmaps'?: readonly { readonly name?: string; readonly persistent?: boolean }[];
    readonly cache?: { readonly 'no-flush': boolean; readonly direct?: boolean };
  };
}

/** As in `nbd://…`; a path may have a colon further on. */
const PROTOCOL = /^[a-z][a-z0-9+.-]+:/i;

/** Drives without a medium are left out. */
export function describeDisks(blocks: readonly QueryBlockEntry[]): DiskFacts[] {
  return blocks.flatMap(({ device, qdev, inserted }) => {
    if (inserted === undefined) return [];
    const { file, drv, ro, cache, image } = inserted;
    const node = inserted['node-name'] ?? device;
    const bitmaps = inserted['dirty-bitmaps'] ?? [];
    return [
      {
        name: qdev || device,
        id: /^\/machine\/peripheral\/([^/]+)/.exec(qdev ?? '')?.[1] ?? (device || node),
        node,
        file,
        image: imagePathOf(file),
        format: drv,
        virtualBytes: image?.['virtual-size'] ?? 0,
        backing: listBacking(image?.['backing-image']),
        besides: [
          ...(image?.snapshots ?? []).map(({ name }) => `snapshot ${name}`),
          ...bitmaps.flatMap(({ name, persistent }) => (persistent ? `bitmap ${name}` : [])),
        ],
        encrypted: inserted.encrypted ?? false,
        readonly: ro,
        ignoresFlush: cache?.['no-flush'] ?? false,
        direct: cache?.direct ?? false,
      },
    ];
  });
}

/** Through QEMU's own description of several layers (`json:{…}`), down to a plain path. */
export function imagePathOf(file: string): string | null {
  if (!file.startsWith('json:')) return PROTOCOL.test(file) ? null : file;
  try {
    let node: unknown = JSON.parse(file.slice('json:'.length));
    while (typeof node === 'object' && node !== null) {
      const { driver, filename, file: below } = node as { driver?: unknown; filename?: unknown; file?: unknown };
      if (typeof filename === 'string') {
        return driver === 'file' || driver === 'host_device' ? filename : null;
      }
      node = below;
    }
    return null;
  } catch {
    return null;
  }
}

function listBacking(image: ImageEntry | undefined): string[] {
  return image ? [image.filename, ...listBacking(image['backing-image'])] : [];
}
