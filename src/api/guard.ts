/**
 * The one door of the API: who calls, whether he may, and what is written down of it.
 *
 * Must hold: it stands before every route, also before one that does not exist; a route that does not say its right is not
 * served at all; what is written down is written before the answer leaves; whose token or right is taken away reads on no stream.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { ErrorCode } from '../base/errors.ts';
import { type AccessPolicy, authenticate, type Caller, refuseWithout } from './access.ts';
import { type AuditTrail, auditEntryOf, routeOf } from './audit.ts';
import { mostOf, neededBy, type RouteRight } from './right.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** null: it is not known, or does not matter. */
    caller: Caller | null;
    /** Of the answer, where that is an error. */
    failure: ErrorCode | null;
  }
}

/** To be called before any route is added. */
export function addGuard(app: FastifyInstance, access: AccessPolicy, audit?: AuditTrail): void {
  app.decorateRequest('caller', null);
  app.decorateRequest('failure', null);
  app.addHook('onRoute', declareRight);
  const readers = new Set<() => void>();
  access.onChanged(() => {
    for (const lookAgain of readers) lookAgain();
  });
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    try {
      admit(request, access);
    } catch (error) {
      done(error as Error);
      return;
    }
    // What changes something has been begun.
    if (request.caller?.kind === 'token' && request.method === 'GET') followReader(readers, request, reply, access);
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    try {
      // Once more: a body may have been on its way for as long as its sender liked.
      admit(request, access);
      admitBody(request);
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  });
  if (audit === undefined) return;
  app.addHook('onSend', (request, reply, payload, done) => {
    const entry = auditEntryOf(request, reply, Date.now());
    if (entry) audit.record(entry);
    done(null, payload);
  });
}

/** Also in the OpenAPI document, where roles stand with the scheme that gives them. */
function declareRight(route: RouteOptions): void {
  const right = route.config?.right;
  if (right === undefined) throw new Error(`The route ${String(route.method)} ${route.url} does not say its right`);
  if (route.schema) route.schema = { ...route.schema, security: securityOf(right) };
}

function securityOf(right: RouteRight): Record<string, string[]>[] {
  return right === 'everybody' ? [{}] : [{}, { token: [...mostOf(right)] }];
}

/** Such as of events, for as long as he likes. */
function followReader(
  readers: Set<() => void>,
  request: FastifyRequest,
  reply: FastifyReply,
  access: AccessPolicy,
): void {
  const lookAgain = (): void => {
    try {
      admit(request, access);
    } catch {
      // Refused from now on, as his next request is, which is told why.
      reply.raw.destroy();
    }
  };
  readers.add(lookAgain);
  reply.raw.once('close', () => readers.delete(lookAgain));
}

/** @throws GW_API_UNAUTHORIZED, GW_API_FORBIDDEN */
function admit(request: FastifyRequest, access: AccessPolicy): void {
  // What does not exist is told to those only who may ask for anything.
  const right = request.routeOptions.config?.right ?? 'any token';
  if (right === 'everybody') return;
  request.caller = authenticate(access, request.raw);
  refuseWithout(neededBy(right, request), request.caller, whatOf(request));
}

/** @throws GW_API_FORBIDDEN */
function admitBody(request: FastifyRequest): void {
  const needed = request.routeOptions.config?.alsoNeeds?.(request);
  if (needed && request.caller) refuseWithout(needed, request.caller, `${whatOf(request)} with such a body`);
}

function whatOf(request: FastifyRequest): string {
  return `${request.method} ${routeOf(request)}`;
}
