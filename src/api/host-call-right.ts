/**
 * The right that a call of a host's API by way of a controller needs: that of the host's own route.
 *
 * Must hold: nobody gets by way of a controller what his token would not give him at the host. What changes something and is not known
 * here, such as a route of a newer host, needs every right; so does what a host decides by what it concerns.
 */
import fastify, { type FastifyContextConfig, type FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { addHostApiRoutes } from './host-api-routes.ts';
import { mostOf, RIGHTS, type Right } from './right.ts';
import type { HostService } from './service.ts';

interface HostRoute {
  readonly method: string;
  readonly segments: readonly string[];
  readonly rights: readonly Right[];
  readonly ofBody: FastifyContextConfig['alsoNeeds'];
}

export class HostCallRights {
  readonly #routes: readonly HostRoute[] = readRoutes();

  /** @param path - at the host, without its query */
  of(method: string, path: string): readonly Right[] {
    // HEAD is answered as GET is.
    const asked = method === 'HEAD' ? 'GET' : method;
    return this.#find(asked, path)?.rights ?? (asked === 'GET' ? ['read'] : RIGHTS);
  }

  /** What the body of the request asks for beside it. */
  ofBody(path: string, request: FastifyRequest): readonly Right[] {
    return this.#find(request.method, path)?.ofBody?.(request) ?? [];
  }

  #find(method: string, path: string): HostRoute | undefined {
    const segments = path.split('/');
    return this.#routes.find((each) => each.method === method && isOf(each.segments, segments));
  }
}

/** A segment that is spelt in another way, such as `%6digrate`, is none of a route's: then every right is needed. */
function isOf(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => part.startsWith(':') || part === segments[index])
  );
}

/** As they declare themselves, to a server that is never started. */
function readRoutes(): HostRoute[] {
  const routes: HostRoute[] = [];
  const app = fastify({ exposeHeadRoutes: false }).withTypeProvider<ZodTypeProvider>();
  app.addHook('onRoute', ({ method, url, config }) => {
    const rights = config?.right === undefined ? RIGHTS : mostOf(config.right);
    routes.push({ method: String(method), segments: url.split('/'), rights, ofBody: config?.alsoNeeds });
  });
  addHostApiRoutes(app, {} as HostService);
  return routes;
}
