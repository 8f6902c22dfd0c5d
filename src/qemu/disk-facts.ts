/**
 * The disks of a running VM, as `query-block` tells them.
 */

export interface DiskFacts {
  /** The device or drive that it belongs to. */
  readonly name: string;
  /** Host path of the image, or QEMU's own description of what is no plain file (`nbd://…`, `json:{…}`). */
  readonly file: string;
  readonly format: string;
  readonly readonly: boolean;
  /** cache=unsafe: what the guest flushed may not be on the disk when the destination reads it. */
  readonly ignoresFlush: boolean;
  /** O_DIRECT: the disk writes guest memory past every page table, so no write-protection sees it. */
  readonly direct: boolean;
}

export interface QueryBlockEntry {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: {
    readonly file: string;
    readonly drv: string;
    readonly ro: boolean;
    readonly cache?: { readonly 'no-flush': boolean; readonly direct?: boolean };
  };
}

/** Drives without a medium are left out. */
export function describeDisks(blocks: readonly QueryBlockEntry[]): DiskFacts[] {
  return blocks.flatMap(({ device, qdev, inserted }) => {
    if (inserted === undefined) return [];
    const { file, drv, ro, cache } = inserted;
    return [
      {
        name: qdev || device,
        file,
        format: drv,
        readonly: ro,
        ignoresFlush: cache?.['no-flush'] ?? false,
        direct: cache?.direct ?? false,
      },
    ];
  });
}
