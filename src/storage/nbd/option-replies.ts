/**
 * The server's words before an export is in use.
 *
 * Owns: their bytes. Pure.
 */
import { type ExportFacts, PREFERRED_BLOCK_BYTES, transmissionFlags } from './export.ts';
import { MAX_REQUEST_BYTES } from './limits.ts';
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_MAGIC,
  NBD_OPTION_MAGIC,
  NBD_OPTION_REPLY_MAGIC_HIGH,
  NBD_OPTION_REPLY_MAGIC_LOW,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
} from './numbers.ts';

const REPLY_HEADER_BYTES = 20;
/** What old clients skip behind the answer to NBD_OPT_EXPORT_NAME. */
const OLD_ZEROES_BYTES = 124;

export function encodeGreeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.write(NBD_MAGIC + NBD_OPTION_MAGIC, 'latin1');
  bytes.writeUInt16BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES, 16);
  return bytes;
}

export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(REPLY_HEADER_BYTES + data.length);
  bytes.writeUInt32BE(NBD_OPTION_REPLY_MAGIC_HIGH, 0);
  bytes.writeUInt32BE(NBD_OPTION_REPLY_MAGIC_LOW, 4);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, REPLY_HEADER_BYTES);
  return bytes;
}

/** A refusal; the text is for people. */
export function encodeOptionError(option: number, type: number, text: string): Buffer {
  return encodeOptionReply(option, type, Buffer.from(text));
}

export function encodeListed(option: number, name: string): Buffer {
  const text = Buffer.from(name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return encodeOptionReply(option, NBD_REP_SERVER, Buffer.concat([length, text]));
}

/** Everything that NBD_OPT_INFO and NBD_OPT_GO tell, before their ACK. */
export function encodeInfo(option: number, facts: ExportFacts): Buffer {
  const size = Buffer.alloc(12);
  size.writeUInt16BE(NBD_INFO_EXPORT, 0);
  writeUInt64(size, 2, facts.bytes);
  size.writeUInt16BE(transmissionFlags(facts), 10);
  const blocks = Buffer.alloc(14);
  blocks.writeUInt16BE(NBD_INFO_BLOCK_SIZE, 0);
  blocks.writeUInt32BE(facts.minBlockBytes, 2);
  blocks.writeUInt32BE(PREFERRED_BLOCK_BYTES, 6);
  blocks.writeUInt32BE(MAX_REQUEST_BYTES, 10);
  return Buffer.concat([
    encodeOptionReply(option, NBD_REP_INFO, size),
    encodeOptionReply(option, NBD_REP_INFO, blocks),
  ]);
}

export function encodeMetaContext(option: number, id: number, name: string): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(id);
  return encodeOptionReply(option, NBD_REP_META_CONTEXT, Buffer.concat([head, Buffer.from(name)]));
}

/** The answer to NBD_OPT_EXPORT_NAME, which has no form of its own. */
export function encodeOldExport(facts: ExportFacts, withZeroes: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (withZeroes ? OLD_ZEROES_BYTES : 0));
  writeUInt64(bytes, 0, facts.bytes);
  bytes.writeUInt16BE(transmissionFlags(facts), 8);
  return bytes;
}

/** @param value - a whole number up to 2^53 - 1 */
export function writeUInt64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value % 2 ** 32, at + 4);
}
