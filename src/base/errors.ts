/**
 * Every error godwit can report: one table, one class.
 *
 * Owns: the codes, their texts and what they mean outside (HTTP status, exit status of the CLI). docs/errors.md is
 * compared with the table by a test.
 * Must hold: nothing decides by message text; the cause's text is never repeated in a message (the printer walks the
 * chain); an error that crosses the wire is `{code, message, details}` and never a stack trace.
 */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

interface ErrorRow {
  /** Sentence case, no full stop; `{name}` is replaced by the detail of that name. */
  readonly text: string;
  readonly httpStatus: number;
  /** 1 failed, 2 bad usage or input, 3 refused (blocked), 130 cancelled. */
  readonly exitStatus: 1 | 2 | 3 | 130;
}

function row(exitStatus: ErrorRow['exitStatus'], httpStatus: number, text: string): ErrorRow {
  return { exitStatus, httpStatus, text };
}

export const ERRORS = {
  // Input
  GW_INPUT_INVALID: row(2, 400, '{field}: {value} is not valid: {fix}'),
  GW_INPUT_MISSING: row(2, 400, '{field} is missing: {fix}'),
  GW_INPUT_UNREADABLE: row(2, 400, 'Cannot read {path}: {reason}'),
  GW_USAGE: row(2, 400, '{reason}'),
  // API
  GW_API_UNREACHABLE: row(1, 502, 'No godwit host answers at {url}: {reason}'),
  GW_API_UNAUTHORIZED: row(3, 401, 'This API address needs a bearer token: {fix}'),
  GW_API_FORBIDDEN: row(3, 403, 'The token {token} lacks the right {right}, which {what} needs: {fix}'),
  GW_NOT_FOUND: row(2, 404, 'There is no {kind} named {name} on this host'),
  GW_FLEET_UNKNOWN: row(2, 404, 'There is no {kind} named {name} in this fleet: {fix}'),
  GW_VM_MOVED: row(2, 404, 'VM {vm} is not on this host any more: migration {id} moved it to {owner}'),
  GW_CONFLICT: row(3, 409, '{kind} {name} cannot do that now: {reason}'),
  GW_VM_EXISTS: row(3, 409, 'This host already has a VM named {name}'),
  GW_REGION_UNUSABLE: row(3, 409, 'VM {vm} cannot have the shared memory {region}: {reason}'),
  GW_HOST_START: row(1, 500, 'The daemon cannot start: {reason}'),
  GW_STORE_UNAVAILABLE: row(1, 503, 'The store of the fleet ({store}) does not answer: {reason}'),
  GW_INTERNAL: row(1, 500, 'Internal error: {reason}'),
  GW_ORDER_OUTDATED: row(
    3,
    409,
    'Another controller leads the fleet {fleet} by now: this order is of epoch {epoch}, and epoch {known} is known here (if no other does, as when the store was restored from a backup: `godwit fleet lead --epoch {known}`)',
  ),
  GW_FLEET_HOST: row(3, 502, 'Host {host} answers with an error: {reason}'),
  // Kernel
  GW_SYS_CALL: row(1, 500, '{call} failed: {errno}'),
  GW_SYS_UNSUPPORTED: row(3, 501, 'This kernel or machine cannot do {feature}: {reason}'),
  GW_SYS_INJECT: row(1, 500, 'Cannot run a system call inside process {pid}: {reason}'),
  GW_SYS_PROCESS_GONE: row(1, 500, 'Process {pid} has ended'),
  GW_SYS_NO_ROOM: row(3, 507, 'Not enough {resource} on host {host}: {needed} needed, {available} available'),
  // QEMU
  GW_QEMU_START: row(1, 500, 'QEMU did not start: {reason}'),
  GW_QEMU_GONE: row(1, 500, 'QEMU of VM {vm} has ended: {reason}'),
  GW_QMP_ERROR: row(1, 500, 'QEMU refused {command}: {reason}'),
  GW_QMP_TIMEOUT: row(1, 504, 'QEMU did not answer {command} within {timeoutMs} ms'),
  GW_QMP_CLOSED: row(1, 502, 'The QMP connection to {path} is closed'),
  GW_QMP_UNREACHABLE: row(1, 502, 'Cannot connect to the QMP socket {path}: {reason}'),
  GW_QMP_BUSY: row(3, 409, 'The QMP socket {path} took the connection but sent no greeting: {reason}'),
  GW_QMP_PROTOCOL: row(1, 502, 'What answers at {path} does not speak QMP: {reason}'),
  GW_QEMU_STATE: row(1, 500, 'QEMU could not {action} the device state: {reason}'),
  // Wire
  GW_WIRE_BAD_MAGIC: row(
    1,
    502,
    'The peer does not speak the godwit migration protocol (the migration port is 7710 by default, that of the API 7700)',
  ),
  GW_WIRE_VERSION: row(3, 502, 'The peer speaks protocol versions {theirs}, this host {ours}'),
  GW_WIRE_FRAME_UNKNOWN: row(1, 502, 'The peer sent a frame of unknown type {type}'),
  GW_WIRE_FRAME_TOO_LARGE: row(1, 502, 'The peer sent a frame of {length} bytes, more than the {limit} allowed'),
  GW_WIRE_FRAME_INVALID: row(1, 502, 'The peer sent an invalid {frame} frame: {reason}'),
  GW_WIRE_CLOSED: row(1, 502, 'The migration connection to {peer} was cut: {reason}'),
  GW_WIRE_STALLED: row(1, 504, 'The peer {peer} answers, but has taken or confirmed nothing for {timeoutMs} ms'),
  GW_WIRE_TIMEOUT: row(1, 504, 'The peer {peer} sent nothing for {timeoutMs} ms'),
  GW_PEER_UNREACHABLE: row(1, 502, 'Cannot reach the migration port of {peer}: {reason}'),
  GW_PEER_UNKNOWN_SESSION: row(3, 404, 'The peer knows no migration with this session key'),
  GW_PEER_SESSION_OVER: row(3, 410, 'Shared memory with this session key is all at the peer, and was released there'),
  // TLS
  GW_TLS_OTHER_CA: row(3, 502, 'The certificate of {peer} is of no CA that host {by} trusts'),
  GW_TLS_EXPIRED: row(3, 502, 'The certificate of {peer} has expired ({notAfter}), as host {by} sees it'),
  GW_TLS_NOT_YET_VALID: row(
    3,
    502,
    'The certificate of {peer} is not valid yet (it will be from {notBefore}), as host {by} sees it',
  ),
  GW_TLS_WRONG_NAME: row(3, 502, 'The certificate of {peer} is for {names}, and host {by} wants that of {wanted}'),
  GW_TLS_NO_CERTIFICATE: row(3, 502, 'No certificate came from {peer}, and host {by} wants one'),
  GW_TLS_NOT_ALLOWED: row(3, 403, 'Host {by} takes no VMs from {names} ({peer}): its tlsAllow names others'),
  GW_TLS_REQUIRED: row(3, 502, 'Host {by} takes migrations over TLS only, and {peer} does not speak it'),
  GW_TLS_NOT_SPOKEN: row(3, 502, 'What answers at {peer} does not speak TLS'),
  GW_TLS_FAILED: row(1, 502, 'TLS with {peer} did not come about: {reason}'),
  // Disks
  GW_DISK_UNUSABLE: row(2, 400, 'Cannot serve disk image {path}: {reason}'),
  GW_DISK_SERVER: row(1, 500, 'The block server of the VM failed: {reason}'),
  GW_NBD_LISTEN: row(1, 500, 'Cannot serve disks at {address}: {reason}'),
  GW_NBD_PROTOCOL: row(1, 502, 'The NBD client was cut off: {reason}'),
  // Migration
  GW_MIGRATION_REFUSED: row(3, 409, 'Host {host} refused VM {vm}: {reason}'),
  GW_REGION_REFUSED: row(3, 409, 'Host {host} refused shared memory {region}: {reason}'),
  GW_MIGRATION_BLOCKED: row(3, 409, 'VM {vm} cannot be migrated: {reason}'),
  GW_HOOK_REFUSED: row(3, 409, 'The hook preMigrate refused to let VM {vm} go: {reason}'),
  GW_HOST_STOPPING: row(3, 503, 'The daemon of host {host} is stopping and begins no migration'),
  GW_MIGRATION_BUSY: row(3, 409, 'VM {vm} is being migrated (migration {id})'),
  GW_WATCH_STOPPED: row(130, 409, 'Stopped watching; it goes on: godwit migration watch {id}'),
  GW_MIGRATION_CANCELLED: row(130, 409, 'The migration was cancelled'),
  GW_MIGRATION_TOO_LATE: row(3, 409, 'Too late to cancel: VM {vm} already runs at the destination'),
  GW_MIGRATION_TIMEOUT: row(1, 504, 'The migration did not finish within {timeoutMs} ms'),
  GW_MIGRATION_NO_CONVERGENCE: row(1, 409, 'The VM changes memory faster than it can be sent: {reason}'),
  GW_DISK_COPY: row(1, 502, 'Disk {disk} cannot be copied: {reason}'),
  GW_UPGRADE_REFUSED: row(3, 409, 'The QEMU of VM {vm} cannot be replaced: {reason}'),
  GW_UPGRADE_FAILED: row(1, 500, 'The QEMU of VM {vm} was not replaced, the VM goes on in the old one: {reason}'),
  GW_UPGRADE_UNFINISHED: row(1, 500, 'The QEMU of VM {vm} was being replaced, and nobody gets the VM now: {reason}'),
  GW_UPGRADE_CANCELLED: row(130, 409, 'Replacing the QEMU was cancelled; VM {vm} goes on in the old one'),
  GW_MIGRATION_VERIFY: row(1, 500, 'Memory differs between source and destination: {reason}'),
  GW_MIGRATION_PEER_FAILED: row(1, 502, 'The other host gave up: {reason}'),
  GW_MIGRATION_INTERRUPTED: row(1, 500, 'The host daemon, or its thread of this migration, ended in phase {phase}'),
  GW_MIGRATION_UNDECIDED: row(1, 500, 'VM {vm} is loaded here, but whether {peer} gave it away is not known yet'),
  GW_PHASE_REFUSED: row(1, 409, 'Phase {phase} does not allow {event}'),
  GW_JOURNAL_CORRUPT: row(
    1,
    500,
    'The journal {path} cannot be read at byte {offset}: {reason}; find out which host has the VM, then move the file away and start the daemon anew (docs/operations.md)',
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** What to do, where neither the text nor the reason says it. */
const FIXES: Partial<Record<ErrorCode, string>> = {
  GW_PEER_UNREACHABLE:
    'start the host daemon there, and see that its --migration-listen address can be reached from here',
  GW_WIRE_BAD_MAGIC: "give the other host's migration port (--migration-listen, 7710 by default), not that of its API",
  GW_TLS_EXPIRED: 'renew it (`godwit tls host DIR NAME`) and copy the files there; nothing has to be restarted',
  GW_TLS_NOT_ALLOWED:
    'add the name to tlsAllow in the configuration of the host that refuses, and start its daemon anew',
  GW_TLS_NOT_SPOKEN:
    'start the other host with --tls as well, or this one without; and give its migration port, not that of its API',
  GW_TLS_NOT_YET_VALID: 'set the clocks of both hosts (NTP), or wait',
  GW_TLS_NO_CERTIFICATE: 'dial with godwit host --tls DIR, which shows the certificate in DIR',
  GW_TLS_OTHER_CA: 'give both hosts certificates of one CA, and its ca.crt (`godwit tls host DIR NAME`)',
  GW_TLS_REQUIRED: 'give this host a certificate of the same CA: godwit host --tls DIR (docs/operations.md)',
  GW_TLS_WRONG_NAME:
    'name the host as its certificate does (--peer NAME=HOST:PORT), or make one that has the name (`godwit tls host DIR NAME,ADDRESS`)',
  GW_UPGRADE_UNFINISHED: 'see to the reason, and start the daemon anew: it tries again (docs/operations.md)',
  GW_WIRE_VERSION: 'install versions of godwit on both hosts that have a protocol version in common',
};
export type ErrorDetails = Readonly<Record<string, JsonValue>>;

/** What crosses the wire and the API. */
export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

export class GodwitError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(fill(ERRORS[code].text, details), options);
    this.name = 'GodwitError';
    this.code = code;
    this.details = details;
  }

  toBody(): ErrorBody {
    return { code: this.code, message: explain(this), details: this.details };
  }

  /** The error a peer or a server told us; an unknown code becomes GW_INTERNAL. */
  static fromBody(body: { code: string; message: string; details?: unknown }): GodwitError {
    const known = Object.hasOwn(ERRORS, body.code);
    const code = known ? (body.code as ErrorCode) : 'GW_INTERNAL';
    const details = known ? (isRecord(body.details) ? body.details : {}) : { reason: body.message };
    const error = new GodwitError(code, details);
    error.message = body.message;
    return error;
  }
}

/** Any thrown value as a GodwitError; what is not one becomes the cause of a GW_INTERNAL. */
export function asGodwitError(thrown: unknown): GodwitError {
  if (thrown instanceof GodwitError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new GodwitError('GW_INTERNAL', { reason }, { cause: thrown });
}

export function hasCode(thrown: unknown, code: ErrorCode): thrown is GodwitError {
  return thrown instanceof GodwitError && thrown.code === code;
}

interface FixedError {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What to do about it, if the message does not say so already. */
export function fixOf({ code, details, message }: FixedError): string | undefined {
  const fix = details['fix'] ?? FIXES[code as ErrorCode];
  return typeof fix === 'string' && !message.includes(fix) ? fix : undefined;
}

/** Longer chains are cut, and causes that go round in a circle end. */
const MAX_CAUSES = 8;

/** The whole chain of causes in one line, outermost first. */
export function explain(error: unknown): string {
  const parts: string[] = [];
  let at = error;
  for (let depth = 0; depth < MAX_CAUSES && at !== undefined && at !== null; depth++) {
    const text = at instanceof Error ? at.message : String(at);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(': ');
}

function isRecord(value: unknown): value is ErrorDetails {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fill(template: string, details: ErrorDetails): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = details[name];
    return value === undefined ? 'unknown' : typeof value === 'string' ? value : JSON.stringify(value);
  });
}
