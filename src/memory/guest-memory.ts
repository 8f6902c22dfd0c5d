/**
 * The memory of one VM, by page number.
 *
 * Owns: the RAM files of its regions. Reads and writes go through the page cache and never through QEMU's mapping, so
 * they neither fault nor wake anybody, and the dirty tracker does not see them.
 */
import { PAGE_SIZE, type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';
import { type FilePiece, RamFile } from '../linux/ram-file.ts';
import type { RamLayout, RegionPiece } from './layout.ts';

export class GuestMemory implements Disposable {
  readonly layout: RamLayout;
  readonly #files: readonly RamFile[];

  /** @param files - one per region, in the layout's order; closed with this object */
  constructor(layout: RamLayout, files: readonly RamFile[]) {
    const fits = files.length === layout.regions.length && layout.regions.every((r, i) => files[i]!.bytes >= r.bytes);
    if (!fits) throw new RangeError('The RAM files do not cover the regions of the layout');
    this.layout = layout;
    this.#files = files;
  }

  /**
   * @param paths - of the RAM files, one per region, in the layout's order
   * @throws what RamFile.open throws; none of the files stays open then
   */
  static open(layout: RamLayout, paths: readonly string[]): GuestMemory {
    using opened = new DisposableStack();
    const files = layout.regions.map(({ index, bytes }) => opened.use(RamFile.open(paths[index]!, bytes)));
    const memory = new GuestMemory(layout, files);
    opened.move();
    return memory;
  }

  /** Fills `into`, which holds `run.count` pages; holes read as zero. */
  readPages(run: PageRun, into: Uint8Array): void {
    checkLength(run, into);
    this.#eachPiece(run, (file, piece, at) => {
      file.read(piece.regionPage * PAGE_SIZE, part(into, at, piece.count * PAGE_SIZE));
    });
  }

  /** Throws GW_SYS_NO_ROOM when the host has no memory left for them. */
  writePages(run: PageRun, from: Uint8Array): void {
    checkLength(run, from);
    this.#eachPiece(run, (file, piece, at) => {
      file.write(piece.regionPage * PAGE_SIZE, part(from, at, piece.count * PAGE_SIZE));
    });
  }

  /** Fills `into` with the beginning of a page. */
  readBeginning(page: PageIndex, into: Uint8Array): void {
    this.#eachPiece({ first: page, count: 1 }, (file, piece) => file.read(piece.regionPage * PAGE_SIZE, into));
  }

  /** Where the pages lie, in their order; the descriptors are ours. */
  filePieces(runs: readonly PageRun[]): FilePiece[] {
    const pieces: FilePiece[] = [];
    for (const run of runs) {
      this.#eachPiece(run, (file, { regionPage, count }) => {
        pieces.push({ fd: file.fd, offset: regionPage * PAGE_SIZE, bytes: count * PAGE_SIZE });
      });
    }
    return pieces;
  }

  /** The pages that hold anything, between two page numbers; all others were never touched and read as zero. */
  dataRuns(from: PageIndex = 0, to: PageIndex = this.layout.pageCount): PageRun[] {
    const runs = new RunBuilder();
    this.#eachPiece({ first: from, count: to - from }, (file, piece) => {
      for (const run of file.dataRuns(piece.regionPage, piece.regionPage + piece.count)) {
        runs.add(piece.region.firstPage + run.first, run.count);
      }
    });
    return runs.finish();
  }

  /** Paths by which any thread of this process opens the same files, also when QEMU has ended. */
  ownPaths(): string[] {
    return this.#files.map((file) => `/proc/self/fd/${file.fd}`);
  }

  /** Memory that the host holds for this VM: grows with every page that is touched first. */
  allocatedBytes(): number {
    return this.#files.reduce((sum, file) => sum + file.allocatedBytes(), 0);
  }

  /** Gives the pages back to the host; they read as zero, for the VM too. */
  punch(run: PageRun): void {
    this.#eachPiece(run, (file, piece) => file.punch(piece.regionPage * PAGE_SIZE, piece.count * PAGE_SIZE));
  }

  punchAll(): void {
    this.punch({ first: 0, count: this.layout.pageCount });
  }

  /** Reserves memory for the pages. Throws GW_SYS_NO_ROOM. */
  allocate(run: PageRun): void {
    this.#eachPiece(run, (file, piece) => file.allocate(piece.regionPage * PAGE_SIZE, piece.count * PAGE_SIZE));
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file[Symbol.dispose]();
  }

  /** Calls back per region, with the byte at which the piece starts within the run. */
  #eachPiece(run: PageRun, use: (file: RamFile, piece: RegionPiece, at: number) => void): void {
    for (const piece of this.layout.split(run)) {
      use(this.#files[piece.region.index]!, piece, (piece.first - run.first) * PAGE_SIZE);
    }
  }
}

function part(memory: Uint8Array, at: number, bytes: number): Uint8Array {
  return at === 0 && bytes === memory.byteLength ? memory : memory.subarray(at, at + bytes);
}

function checkLength(run: PageRun, memory: Uint8Array): void {
  if (memory.byteLength === run.count * PAGE_SIZE) return;
  throw new RangeError(`${run.count} pages do not fit ${memory.byteLength} bytes`);
}
