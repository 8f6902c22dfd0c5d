/**
 * What the data of a client's options says.
 *
 * Must hold: a length inside of it is compared with what is there before it is used; data that says nothing sensible is
 * a value with the reason, because the client may go on with another option.
 */
import { MAX_META_QUERIES, MAX_NAME_BYTES } from './limits.ts';

export interface InfoRequest {
  readonly kind: 'info';
  readonly exportName: string;
  /** NBD_INFO_... that are asked for. */
  readonly wanted: readonly number[];
}

export interface MetaRequest {
  readonly kind: 'meta';
  readonly exportName: string;
  readonly queries: readonly string[];
}

export interface InvalidOption {
  readonly kind: 'invalid';
  readonly reason: string;
}

/** Of NBD_OPT_INFO and NBD_OPT_GO. */
export function decodeInfoRequest(data: Buffer): InfoRequest | InvalidOption {
  const name = readString(data, 0);
  if (typeof name === 'string') return invalid(`export ${name}`);
  const at = name.end;
  if (data.length < at + 2) return invalid('the number of information requests is missing');
  const count = data.readUInt16BE(at);
  if (data.length !== at + 2 + count * 2) return invalid(`it has not the room of ${count} information requests`);
  const wanted = Array.from({ length: count }, (_, index) => data.readUInt16BE(at + 2 + index * 2));
  return { kind: 'info', exportName: name.text, wanted };
}

/** Of NBD_OPT_SET_META_CONTEXT and NBD_OPT_LIST_META_CONTEXT. */
export function decodeMetaRequest(data: Buffer): MetaRequest | InvalidOption {
  const name = readString(data, 0);
  if (typeof name === 'string') return invalid(`export ${name}`);
  if (data.length < name.end + 4) return invalid('the number of metadata contexts is missing');
  const count = data.readUInt32BE(name.end);
  if (count > MAX_META_QUERIES) return invalid(`${count} metadata contexts, more than the ${MAX_META_QUERIES} allowed`);
  const queries: string[] = [];
  let at = name.end + 4;
  for (let index = 0; index < count; index++) {
    const query = readString(data, at);
    if (typeof query === 'string') return invalid(`metadata context ${query}`);
    queries.push(query.text);
    at = query.end;
  }
  if (at !== data.length) return invalid(`${data.length - at} bytes follow the last metadata context`);
  return { kind: 'meta', exportName: name.text, queries };
}

/** A string behind its length of 32 bits; what is wrong with it as text. */
function readString(data: Buffer, at: number): { readonly text: string; readonly end: number } | string {
  if (data.length < at + 4) return 'name without a length';
  const bytes = data.readUInt32BE(at);
  if (bytes > MAX_NAME_BYTES) return `name of ${bytes} bytes, more than the ${MAX_NAME_BYTES} allowed`;
  const end = at + 4 + bytes;
  if (data.length < end) return `name of ${bytes} bytes where ${data.length - at - 4} are left`;
  return { text: data.toString('utf8', at + 4, end), end };
}

function invalid(reason: string): InvalidOption {
  return { kind: 'invalid', reason };
}
