/**
 * The right that a call of a host's API by way of a controller needs: that of the host's own route.
 *
 * Must hold: nobody gets by way of a controller what his token would not give him at the host. What changes something and is not known
 * here, such as a route of a newer host, needs every right; so does what a host decides by what it concerns.
 */
import fastify from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { addHostApiRoutes } from './host-api-routes.ts';
import { mostOf, RIGHTS, type Right } from './right.ts';
import type { HostService } from './service.ts';

interface HostRoute {
  readonly method: string;
  readonly segments: readonly string[];
  readonly rights: readonly Right[];
}

export class HostCallRights {
  readonly #routes: readonly HostRoute[] = readRoutes();

  /** @param path - at the host, without its query */
  of(method: string, path: string): readonly Right[] {
    // HEAD is answered as GET is.
    const asked = method === 'HEAD' ? 'GET' : method;
    const segments = path.split('/');
    const route = this.#routes.find((each) => each.method === asked && isOf(each.segments, segments));
    return route?.rights ?? (asked === 'GET' ? ['read'] : RIGHTS);
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
    routes.push({ method: String(method), segments: url.split('/'), rights });
  });
  addHostApiRoutes(app, {} as HostService);
  return routes;
}
