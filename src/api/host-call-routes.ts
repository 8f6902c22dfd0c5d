/**
 * The APIs of a fleet's hosts by way of the controller: /v1/hosts/{name}/api/….
 *
 * Must hold: only what a host's API has is asked of it, whatever the path says; what it answers is never a page of the controller's address; a reader that goes away ends the request to the host.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { GodwitError } from '../base/errors.ts';
import type { FleetService, HostCall } from './fleet-service.ts';
import { HostCallRights } from './host-call-right.ts';
import { RIGHTS, type Right, type RouteRight } from './right.ts';
import { errors, type Routes } from './routes.ts';

const METHODS = ['GET', 'POST', 'PATCH', 'DELETE'] as const;
/** Types that a host's API has; browsers run none of them. */
const DATA = /^(application\/json|text\/plain|text\/event-stream)\s*(;|$)/;
const Params = z.object({ name: z.string(), '*': z.string() });

export function addHostCallRoutes(routes: Routes, service: FleetService): void {
  const rights = new HostCallRights();
  const withoutQuery = (url: string): string => pathAtHost(url).replace(/\?.*$/, '');
  const right: RouteRight = { oneOf: RIGHTS, of: ({ method, url }) => rights.of(method, withoutQuery(url)) };
  const alsoNeeds = (request: FastifyRequest): readonly Right[] => rights.ofBody(withoutQuery(request.url), request);
  const answer = async (
    request: FastifyRequest<{ Params: z.output<typeof Params> }>,
    reply: FastifyReply,
  ): Promise<FastifyReply> => {
    const { name } = request.params;
    const leaving = new AbortController();
    reply.raw.once('close', () => leaving.abort());
    const { status, contentType, body } = await service.callHost(name, {
      method: request.method as HostCall['method'],
      path: pathAtHost(request.url),
      body: request.body,
      lastEventId: request.headers['last-event-id'] as string | undefined,
      signal: leaving.signal,
    });
    reply.header('content-type', typeAtHost(contentType)).header('x-content-type-options', 'nosniff');
    return reply.code(status).header('cache-control', 'no-store').send(body);
  };
  for (const method of METHODS) {
    routes.route({
      method,
      url: '/v1/hosts/:name/api/*',
      config: { right, alsoNeeds },
      schema: {
        tags: ['hosts'],
        summary: `${method} at the API of one host (docs/api.md), with the controller’s token`,
        params: Params,
        response: { '2xx': z.any(), ...errors },
      },
      handler: answer,
    });
  }
}

/** A host is trusted with its VMs, not with the dashboard: what it answers is data here, and never a page of this address. */
function typeAtHost(type: string | undefined): string {
  return type !== undefined && DATA.test(type) ? type : 'application/octet-stream';
}

/** What stands behind `/v1/hosts/NAME/api`, with the query. @throws GW_INPUT_INVALID where it leads elsewhere */
export function pathAtHost(url: string): string {
  const path = /^\/v1\/hosts\/[^/]+\/api(\/.*)$/.exec(url)?.[1] ?? '';
  const { pathname, search } = new URL(path, 'http://host');
  if (`${pathname}${search}` === path && /^\/(v1\/|healthz$|metrics$|openapi\.json$)/.test(pathname)) return path;
  throw new GodwitError('GW_INPUT_INVALID', {
    field: 'path',
    value: url,
    fix: 'give a path of docs/api.md after /api',
  });
}
