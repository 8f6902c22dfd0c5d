/**
 * The RAM of a VM as one sequence of pages.
 *
 * Owns: the mapping between page numbers and (region, offset). Regions follow each other in the order given; the order
 * and the identifiers are part of the migration offer, and both hosts must agree on them.
 */
import { GodwitError, type JsonValue } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex, type PageRun } from '../base/page.ts';

/** What a region is made of. */
export interface RegionSpec {
  /** QEMU's name of the memory backend. */
  readonly id: string;
  readonly bytes: number;
}

export interface RamRegionLayout extends RegionSpec {
  /** Its place in `RamLayout.regions`. */
  readonly index: number;
  readonly firstPage: PageIndex;
  readonly pageCount: number;
}

/** Pages that lie in one region. */
export interface RegionPiece {
  readonly region: RamRegionLayout;
  /** The first page, counted from the start of the region. */
  readonly regionPage: PageIndex;
  /** The first page's number in the VM. */
  readonly first: PageIndex;
  readonly count: number;
}

/** The layout on the wire and between threads. */
export interface RamLayoutJson {
  readonly regions: readonly RegionSpec[];
}

/** 4 PiB of guest memory, far above any host and far below where numbers lose precision. */
const MAX_PAGES = 2 ** 40;
const MAX_REGIONS = 256;

export class RamLayout {
  readonly regions: readonly RamRegionLayout[];
  readonly pageCount: number;

  /** Throws GW_INPUT_INVALID when there are no regions, too many, or one is not whole pages. */
  constructor(specs: readonly RegionSpec[]) {
    if (specs.length === 0 || specs.length > MAX_REGIONS) {
      throw invalid('regions', specs.length, `give 1 to ${MAX_REGIONS} regions`);
    }
    let firstPage = 0;
    this.regions = specs.map(({ id, bytes }, index) => {
      if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % PAGE_SIZE !== 0) {
        throw invalid(`regions[${index}].bytes`, bytes, `give a positive multiple of ${PAGE_SIZE}`);
      }
      const region = { id, bytes, index, firstPage, pageCount: bytes / PAGE_SIZE };
      firstPage += region.pageCount;
      return region;
    });
    if (firstPage > MAX_PAGES) throw invalid('regions', firstPage, `give at most ${MAX_PAGES} pages`);
    this.pageCount = firstPage;
  }

  /** From what a peer sent, of any type. Throws GW_INPUT_INVALID. */
  static fromJson(json: unknown): RamLayout {
    const regions = typeof json === 'object' && json !== null && 'regions' in json ? json.regions : undefined;
    if (!Array.isArray(regions) || regions.length > MAX_REGIONS) {
      throw invalid('regions', typeof regions, `give a list of at most ${MAX_REGIONS} regions`);
    }
    return new RamLayout(
      regions.map((region: unknown, index) => {
        if (!isRegion(region)) throw invalid(`regions[${index}]`, typeof region, 'give {id, bytes}');
        return region;
      }),
    );
  }

  toJSON(): RamLayoutJson {
    return { regions: this.regions.map(({ id, bytes }) => ({ id, bytes })) };
  }

  get bytes(): number {
    return this.pageCount * PAGE_SIZE;
  }

  /** Where a page lies; `offset` is in bytes from the start of the region. */
  locate(page: PageIndex): { readonly region: RamRegionLayout; readonly offset: number } {
    const region = this.#regionOf(page);
    return { region, offset: (page - region.firstPage) * PAGE_SIZE };
  }

  /** The page's number in the VM of a byte of a region. */
  pageAt(regionIndex: number, offset: number): PageIndex {
    return this.regions[regionIndex]!.firstPage + Math.floor(offset / PAGE_SIZE);
  }

  /** The run cut at the borders of regions. */
  split(run: PageRun): RegionPiece[] {
    const end = run.first + run.count;
    this.#checkRun(run);
    const pieces: RegionPiece[] = [];
    for (let first = run.first; first < end; ) {
      const region = this.#regionOf(first);
      const count = Math.min(end, region.firstPage + region.pageCount) - first;
      pieces.push({ region, regionPage: first - region.firstPage, first, count });
      first += count;
    }
    return pieces;
  }

  /** What first distinguishes the other layout from this one, in words; undefined when they are equal. */
  difference(other: RamLayout): string | undefined {
    const count = Math.max(this.regions.length, other.regions.length);
    for (let i = 0; i < count; i++) {
      const ours = this.regions[i];
      const theirs = other.regions[i];
      if (!ours) return `region ${i} (${theirs!.id}) exists only there`;
      if (!theirs) return `region ${i} (${ours.id}) exists only here`;
      if (ours.id !== theirs.id) return `region ${i} is ${ours.id} here and ${theirs.id} there`;
      if (ours.bytes !== theirs.bytes) {
        return `region ${ours.id} has ${ours.bytes} bytes here and ${theirs.bytes} there`;
      }
    }
    return undefined;
  }

  #regionOf(page: PageIndex): RamRegionLayout {
    // VMs have a handful of regions; a search tree would cost more than it saves.
    for (const region of this.regions) {
      if (page >= region.firstPage && page < region.firstPage + region.pageCount) return region;
    }
    throw new RangeError(`Page ${page} lies outside a VM of ${this.pageCount} pages`);
  }

  #checkRun(run: PageRun): void {
    if (run.first < 0 || run.count < 0 || run.first + run.count > this.pageCount) {
      throw new RangeError(`Pages ${run.first}+${run.count} lie outside a VM of ${this.pageCount} pages`);
    }
  }
}

function isRegion(value: unknown): value is RegionSpec {
  if (typeof value !== 'object' || value === null) return false;
  const { id, bytes } = value as { id?: unknown; bytes?: unknown };
  return typeof id === 'string' && typeof bytes === 'number';
}

function invalid(field: string, value: JsonValue, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}
