/**
 * LZ4 and zstd on blocks of memory, with contexts that are used again and again.
 *
 * Owns: the bindings and the contexts. zstd is node's own, which it exports; where it does not, the slower way through
 * node:zlib does it. apt itself depends on liblz4, so Debian and Ubuntu have it. Must hold: nothing is written outside
 * `to`, whatever the input is; input that is no such block is a value, not an error.
 * https://github.com/facebook/zstd/blob/v1.5.7/lib/zstd.h, https://github.com/lz4/lz4/blob/v1.9.4/lib/lz4.h
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { GodwitError } from '../base/errors.ts';
import { type Library, loadLibrary, loadOwnLibrary } from './raw.ts';

export type CodecName = 'lz4' | 'zstd';

export interface Codec {
  /**
   * Compresses `from` into the beginning of `to`.
   * @param level - zstd: 1 to 22, negative ones are faster; LZ4: its acceleration, 1 is the densest
   * @returns bytes written; 0 when they do not fit, which is how one asks for what pays only
   */
  compress(from: Uint8Array, to: Uint8Array, level: number): number;
  /** Bytes written, or -1 for what is no block of this kind or does not fit. */
  decompress(from: Uint8Array, to: Uint8Array): number;
}

type Words = readonly (Uint8Array | number | bigint | null)[];
type Native = (...args: Words) => number;

const LIBLZ4 = 'liblz4.so.1';

/** What this host has, the densest first. */
export function availableCodecs(): CodecName[] {
  return loadLibrary(LIBLZ4) === undefined ? ['zstd'] : ['zstd', 'lz4'];
}

/** One thread's own: a context is used by one call at a time. @throws GW_SYS_UNSUPPORTED */
export function openCodec(name: CodecName): Codec {
  if (name === 'zstd') return openOwnZstd() ?? NODE_ZSTD;
  const lz4 = openLiblz4();
  if (lz4 === undefined) {
    throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'LZ4 compression', reason: `${LIBLZ4} is not installed` });
  }
  return lz4;
}

/** undefined where node does not export it. Never the system's: its calls of itself would end up in node's, of another version. */
function openOwnZstd(): Codec | undefined {
  const library = loadOwnLibrary();
  try {
    return bindZstd(library);
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

function bindZstd(library: Library): Codec {
  const compress = library.func(
    'size_t ZSTD_compressCCtx(uintptr_t cctx, void *dst, size_t dstCapacity, const void *src, size_t srcSize, int level)',
  ) as Native;
  const decompress = library.func(
    'size_t ZSTD_decompressDCtx(uintptr_t dctx, void *dst, size_t dstCapacity, const void *src, size_t srcSize)',
  ) as Native;
  const isError = library.func('unsigned int ZSTD_isError(size_t code)') as Native;
  const compressorBytes = library.func('size_t ZSTD_estimateCCtxSize(int maxLevel)') as Native;
  const decompressorBytes = library.func('size_t ZSTD_estimateDCtxSize()') as Native;
  const openCompressor = contextOpener(library, 'ZSTD_initStaticCCtx');
  const openDecompressor = contextOpener(library, 'ZSTD_initStaticDCtx');
  let compressor: ZstdContext | undefined;
  let compressorLevel = Number.NEGATIVE_INFINITY;
  let decompressor: ZstdContext | undefined;
  return {
    compress(from, to, level) {
      if (compressor === undefined || level > compressorLevel) {
        compressor = openCompressor(compressorBytes(level));
        compressorLevel = level;
      }
      // SAFETY: reads `from`, writes at most `to.length` bytes of `to`, and the context; all are held by us.
      const bytes = compress(compressor.address, to, to.length, from, from.length, level);
      return isError(bytes) === 0 ? bytes : 0;
    },
    decompress(from, to) {
      decompressor ??= openDecompressor(decompressorBytes());
      // SAFETY: as above; zstd checks its input and never writes beyond the capacity.
      const bytes = decompress(decompressor.address, to, to.length, from, from.length);
      return isError(bytes) === 0 ? bytes : -1;
    },
  };
}

/** In memory of ours: however the thread ends, nothing is left behind, and nothing has to run at its end. */
interface ZstdContext {
  readonly workspace: Uint8Array;
  readonly address: bigint;
}

function contextOpener(library: Library, name: string): (bytes: number) => ZstdContext {
  const init = library.func(`uintptr_t ${name}(void *workspace, size_t workspaceSize)`) as Native;
  return (bytes) => {
    const workspace = new Uint8Array(bytes);
    // SAFETY: zstd keeps everything within the workspace, which lives as long as its address is held beside it.
    const address = BigInt(init(workspace, bytes));
    if (address === 0n) throw new Error(`${name} does not take ${bytes} bytes`);
    return { workspace, address };
  };
}

function openLiblz4(): Codec | undefined {
  const library = loadLibrary(LIBLZ4);
  if (library === undefined) return undefined;
  const compress = library.func(
    'int LZ4_compress_fast_extState(void *state, const void *src, void *dst, int srcSize, int dstCapacity, int acceleration)',
  ) as Native;
  const decompress = library.func(
    'int LZ4_decompress_safe(const void *src, void *dst, int compressedSize, int dstCapacity)',
  ) as Native;
  const state = new Uint8Array((library.func('int LZ4_sizeofState()') as Native)());
  return {
    compress(from, to, level) {
      // SAFETY: reads `from`, writes at most `to.length` bytes of `to` and its state; all are held by us.
      return compress(state, from, to, from.length, to.length, level);
    },
    decompress(from, to) {
      // SAFETY: as above; the safe variant checks its input and never writes beyond the capacity.
      return Math.max(-1, decompress(from, to, from.length, to.length));
    },
  };
}

const NODE_ZSTD: Codec = {
  compress(from, to, level) {
    const packed = zstdCompressSync(from, { params: { [constants.ZSTD_c_compressionLevel]: level } });
    if (packed.length > to.length) return 0;
    to.set(packed);
    return packed.length;
  },
  decompress(from, to) {
    try {
      const unpacked = zstdDecompressSync(from, { maxOutputLength: to.length });
      to.set(unpacked);
      return unpacked.length;
    } catch {
      return -1;
    }
  },
};
