/**
 * From a client's first byte to the export that it uses: fixed newstyle negotiation.
 *
 * Owns: the state of one client's negotiation. Pure: bytes in, steps out; it never sees a socket.
 * Must hold: what is no NBD client is told apart at its first wrong byte; no option is waited for that is longer than
 * MAX_OPTION_BYTES; with TLS required nothing is told about exports before it.
 *
 *   clientFlags ──▶ option ──▶ option … ──▶ transmission
 *                     └── STARTTLS ──▶ option (forgetting what was agreed)
 */
import type { Agreement, ExportFacts } from './export.ts';
import { MAX_NAME_BYTES, MAX_OPTION_BYTES, MAX_OPTIONS } from './limits.ts';
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_OPTION_MAGIC,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
} from './numbers.ts';
import { decodeInfoRequest, decodeMetaRequest } from './option-data.ts';
import {
  encodeInfo,
  encodeListed,
  encodeMetaContext,
  encodeOldExport,
  encodeOptionError,
  encodeOptionReply,
} from './option-replies.ts';

export type NegotiationStep =
  | { readonly kind: 'needMore' }
  | { readonly kind: 'answer'; readonly bytes: Buffer }
  | { readonly kind: 'transmission'; readonly bytes: Buffer; readonly agreement: Agreement }
  /** TLS begins behind these bytes. */
  | { readonly kind: 'startTls'; readonly bytes: Buffer }
  /** The client takes its leave. */
  | { readonly kind: 'over'; readonly bytes: Buffer }
  /** It cannot be gone on with. */
  | { readonly kind: 'violation'; readonly reason: string };

export interface NegotiationOptions {
  readonly exports: ReadonlyMap<string, ExportFacts>;
  readonly tls: 'none' | 'required';
}

/** The only metadata context that there is, and its id. */
export const ALLOCATION_CONTEXT = 'base:allocation';
export const ALLOCATION_CONTEXT_ID = 1;

const OPTION_HEADER_BYTES = 16;
const OPTION_MAGIC = Buffer.from(NBD_OPTION_MAGIC, 'latin1');
const EMPTY = Buffer.alloc(0);

export class Negotiation {
  readonly #options: NegotiationOptions;
  #input: Buffer = EMPTY;
  #hasFlags = false;
  #wantsZeroes = true;
  #isEncrypted = false;
  #hasStructuredReplies = false;
  /** The export for which the allocation was asked for. */
  #allocationOf: string | undefined;
  #count = 0;

  constructor(options: NegotiationOptions) {
    this.#options = options;
  }

  push(chunk: Uint8Array): void {
    this.#input = this.#input.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#input, chunk]);
  }

  /** What has come behind the last step. */
  get rest(): Buffer {
    return this.#input;
  }

  next(): NegotiationStep {
    if (!this.#hasFlags) {
      const flags = this.#readFlags();
      if (flags) return flags;
    }
    return this.#readOption();
  }

  /** Nothing that was said before counts any more. */
  tlsStarted(): void {
    this.#isEncrypted = true;
    this.#hasStructuredReplies = false;
    this.#allocationOf = undefined;
  }

  #readFlags(): NegotiationStep | undefined {
    // A stranger that sends text has other bits in its first byte.
    if (this.#input.length > 0 && this.#input[0] !== 0) return this.#stranger();
    if (this.#input.length < 4) return { kind: 'needMore' };
    const flags = this.#input.readUInt32BE(0);
    if ((flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) !== 0) return this.#stranger();
    if ((flags & NBD_FLAG_FIXED_NEWSTYLE) === 0) return violation('it does not speak the fixed newstyle of NBD');
    this.#wantsZeroes = (flags & NBD_FLAG_NO_ZEROES) === 0;
    this.#hasFlags = true;
    this.#input = this.#input.subarray(4);
    return undefined;
  }

  #stranger(): NegotiationStep {
    return violation(`it is no NBD client: it began with ${this.#input.subarray(0, 8).toString('hex')}`);
  }

  #readOption(): NegotiationStep {
    const there = Math.min(this.#input.length, OPTION_MAGIC.length);
    if (this.#input.compare(OPTION_MAGIC, 0, there, 0, there) !== 0)
      return violation('an option begins without IHAVEOPT');
    if (this.#input.length < OPTION_HEADER_BYTES) return { kind: 'needMore' };
    const option = this.#input.readUInt32BE(8);
    const bytes = this.#input.readUInt32BE(12);
    if (bytes > MAX_OPTION_BYTES) {
      return violation(`option ${option} has ${bytes} bytes, more than the ${MAX_OPTION_BYTES} allowed`);
    }
    const end = OPTION_HEADER_BYTES + bytes;
    if (this.#input.length < end) return { kind: 'needMore' };
    if (++this.#count > MAX_OPTIONS) return violation(`it sent more than ${MAX_OPTIONS} options`);
    const data = this.#input.subarray(OPTION_HEADER_BYTES, end);
    this.#input = this.#input.subarray(end);
    return this.#answer(option, data);
  }

  #answer(option: number, data: Buffer): NegotiationStep {
    if (option === NBD_OPT_ABORT) return { kind: 'over', bytes: encodeOptionReply(option, NBD_REP_ACK) };
    if (option === NBD_OPT_STARTTLS) return this.#startTls(data);
    if (this.#options.tls === 'required' && !this.#isEncrypted) {
      if (option === NBD_OPT_EXPORT_NAME) return violation('it wants an export without TLS, which is required here');
      return refusal(option, NBD_REP_ERR_TLS_REQD, 'TLS is required here');
    }
    switch (option) {
      case NBD_OPT_EXPORT_NAME:
        return this.#useOldExport(data);
      case NBD_OPT_LIST:
        return this.#list(data);
      case NBD_OPT_INFO:
      case NBD_OPT_GO:
        return this.#inform(option, data);
      case NBD_OPT_STRUCTURED_REPLY:
        if (data.length > 0) return refusal(option, NBD_REP_ERR_INVALID, 'this option has no data');
        this.#hasStructuredReplies = true;
        return { kind: 'answer', bytes: encodeOptionReply(option, NBD_REP_ACK) };
      case NBD_OPT_LIST_META_CONTEXT:
      case NBD_OPT_SET_META_CONTEXT:
        return this.#offerContexts(option, data);
      default:
        return refusal(option, NBD_REP_ERR_UNSUP, `this server knows no option ${option}`);
    }
  }

  #startTls(data: Buffer): NegotiationStep {
    const option = NBD_OPT_STARTTLS;
    if (data.length > 0) return refusal(option, NBD_REP_ERR_INVALID, 'this option has no data');
    if (this.#isEncrypted) return refusal(option, NBD_REP_ERR_INVALID, 'TLS is on already');
    if (this.#options.tls === 'none') return refusal(option, NBD_REP_ERR_UNSUP, 'this server has no certificate');
    // In plain text, from whoever is in between: it must not be taken for what comes under TLS.
    if (this.#input.length > 0) return violation(`${this.#input.length} bytes came before the answer to STARTTLS`);
    return { kind: 'startTls', bytes: encodeOptionReply(option, NBD_REP_ACK) };
  }

  #useOldExport(data: Buffer): NegotiationStep {
    if (data.length > MAX_NAME_BYTES) return violation(`an export's name of ${data.length} bytes`);
    const name = data.toString();
    const facts = this.#options.exports.get(name);
    // The protocol leaves no other way to say so.
    if (!facts) return violation(`there is no export "${name}"`);
    return this.#use(name, encodeOldExport(facts, this.#wantsZeroes));
  }

  #list(data: Buffer): NegotiationStep {
    if (data.length > 0) return refusal(NBD_OPT_LIST, NBD_REP_ERR_INVALID, 'this option has no data');
    const names = [...this.#options.exports.keys()].map((name) => encodeListed(NBD_OPT_LIST, name));
    return { kind: 'answer', bytes: Buffer.concat([...names, encodeOptionReply(NBD_OPT_LIST, NBD_REP_ACK)]) };
  }

  #inform(option: number, data: Buffer): NegotiationStep {
    const request = decodeInfoRequest(data);
    if (request.kind === 'invalid') return refusal(option, NBD_REP_ERR_INVALID, request.reason);
    const name = request.exportName;
    const facts = this.#options.exports.get(name);
    if (!facts) return refusal(option, NBD_REP_ERR_UNKNOWN, `there is no export "${name}"`);
    const bytes = Buffer.concat([encodeInfo(option, facts), encodeOptionReply(option, NBD_REP_ACK)]);
    return option === NBD_OPT_GO ? this.#use(name, bytes) : { kind: 'answer', bytes };
  }

  #offerContexts(option: number, data: Buffer): NegotiationStep {
    if (!this.#hasStructuredReplies) {
      return refusal(option, NBD_REP_ERR_INVALID, 'structured replies must be agreed upon first');
    }
    const request = decodeMetaRequest(data);
    if (request.kind === 'invalid') return refusal(option, NBD_REP_ERR_INVALID, request.reason);
    const { exportName, queries } = request;
    const isSetting = option === NBD_OPT_SET_META_CONTEXT;
    if (isSetting) this.#allocationOf = undefined;
    if (!this.#options.exports.has(exportName)) {
      return refusal(option, NBD_REP_ERR_UNKNOWN, `there is no export "${exportName}"`);
    }
    const isAsked = isSetting
      ? queries.includes(ALLOCATION_CONTEXT)
      : queries.length === 0 || queries.some((query) => query === ALLOCATION_CONTEXT || query === 'base:');
    const done = encodeOptionReply(option, NBD_REP_ACK);
    if (!isAsked) return { kind: 'answer', bytes: done };
    if (isSetting) this.#allocationOf = exportName;
    // Listed ones have no id.
    const context = encodeMetaContext(option, isSetting ? ALLOCATION_CONTEXT_ID : 0, ALLOCATION_CONTEXT);
    return { kind: 'answer', bytes: Buffer.concat([context, done]) };
  }

  #use(exportName: string, bytes: Buffer): NegotiationStep {
    const hasAllocation = this.#allocationOf === exportName;
    const agreement = { exportName, hasStructuredReplies: this.#hasStructuredReplies, hasAllocation };
    return { kind: 'transmission', bytes, agreement };
  }
}

function refusal(option: number, type: number, text: string): NegotiationStep {
  return { kind: 'answer', bytes: encodeOptionError(option, type, text) };
}

function violation(reason: string): NegotiationStep {
  return { kind: 'violation', reason };
}
