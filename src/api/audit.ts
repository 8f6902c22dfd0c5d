/**
 * What is written down of a request: who asked for what, and what came of it.
 *
 * Owns: which requests that are, and the words of a line. Must hold: everything that may have changed something and everything that was
 * refused is written down; a token, a header, a query or a body never is; nothing that a stranger sends makes a line long.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../base/errors.ts';

export interface AuditEntry {
  /** When it came: ISO 8601, UTC. */
  readonly time: string;
  /** Its id, also in `x-request-id` of the answer. */
  readonly request: string;
  /** Name of the token's holder; null: none was given, or it is nobody's. */
  readonly token: string | null;
  /** Who has connected to a unix socket, by the kernel's word. */
  readonly uid?: number;
  readonly pid?: number;
  /** IP address of who has connected, such as a proxy's. */
  readonly address?: string;
  readonly method: string;
  /** As in docs/api.md; null: there is none like it. */
  readonly route: string | null;
  /** What it concerns, by kind: `vm`, `group`, `migration`, `evacuation`, `host`, … */
  readonly about: Readonly<Record<string, string>>;
  readonly status: number;
  /** null: it was done. */
  readonly code: ErrorCode | null;
  /** Until the answer was there. */
  readonly ms: number;
  /** Requests that were refused as this one before it and have no line, because there were too many. */
  readonly leftOut?: number;
}

export interface AuditTrail {
  /** Never throws. */
  record(entry: AuditEntry): void;
}

/** What stands behind `/v1/` in a route, and what its parameter is the name of. */
const KINDS: Readonly<Record<string, string>> = {
  vms: 'vm',
  groups: 'group',
  migrations: 'migration',
  'group-migrations': 'groupMigration',
  evacuations: 'evacuation',
  hosts: 'host',
  leaders: 'fleet',
};
/** They change nothing. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Longer than any name or id. */
const MOST_CHARACTERS = 200;

/** undefined: there is nothing to write down. */
export function auditEntryOf(request: FastifyRequest, reply: FastifyReply, nowMs: number): AuditEntry | undefined {
  const { method, caller } = request;
  const status = reply.statusCode;
  const isRefused = status === 401 || status === 403;
  if (!isRefused && (READING.has(method) || request.is404)) return undefined;
  const ms = Math.round(reply.elapsedTime);
  const address = request.raw.socket.remoteAddress;
  const process = caller?.kind === 'token' ? caller.local : caller;
  return {
    time: new Date(nowMs - ms).toISOString(),
    request: request.id,
    token: caller?.kind === 'token' ? caller.name : null,
    ...(process?.kind === 'unix' ? { uid: process.uid, pid: process.pid } : {}),
    ...(address === undefined ? {} : { address }),
    method,
    route: routeOf(request),
    about: subjectsOf(request, reply),
    status,
    code: request.failure,
    ms,
  };
}

/** As in docs/api.md; null: there is none like it. */
export function routeOf(request: FastifyRequest): string | null {
  return request.routeOptions.url?.replaceAll(/:(\w+)/g, '{$1}') ?? null;
}

function subjectsOf(request: FastifyRequest, reply: FastifyReply): Record<string, string> {
  const subjects: Record<string, string> = {};
  const add = (collection: string | undefined, name: unknown): void => {
    const kind = KINDS[collection ?? ''];
    if (kind !== undefined && typeof name === 'string') subjects[kind] = name.slice(0, MOST_CHARACTERS);
  };
  const collection = request.routeOptions.url?.split('/')[2];
  const params = request.params as Readonly<Record<string, string>>;
  add(collection, params['name'] ?? params['id'] ?? params['fleet'] ?? nameIn(request.body));
  // What has been made or begun.
  const [, , made, name] = String(reply.getHeader('location') ?? '').split('/');
  add(made, name);
  // At a host, by way of a controller.
  if (params['*'] !== undefined) subjects['path'] = `/${params['*']}`.slice(0, MOST_CHARACTERS);
  return subjects;
}

/** Of what is to be made. */
function nameIn(body: unknown): unknown {
  return typeof body === 'object' && body !== null ? (body as { name?: unknown }).name : undefined;
}
