/**
 * The HTTP API: fastify with the schemas as the single source of validation, types and the OpenAPI document.
 *
 * Must hold: bodies are bounded; a listener that other machines can reach needs the token; a request without a token
 * that a web page could have caused (foreign Host or Origin) is refused.
 */
import fastifySwagger from '@fastify/swagger';
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { asGodwitError, ERRORS, type ErrorBody, GodwitError } from '../base/errors.ts';
import { type AccessPolicy, refuseAccess } from './access.ts';
import { addDashboard, isDashboardPath } from './dashboard.ts';
import { addEvacuationRoutes } from './evacuation-routes.ts';
import { addEventRoutes } from './event-routes.ts';
import { addFleetEventRoutes } from './fleet-event-routes.ts';
import { addFleetRoutes } from './fleet-routes.ts';
import type { FleetService } from './fleet-service.ts';
import { addGroupMigrationRoutes } from './group-migration-routes.ts';
import { addGroupRoutes } from './group-routes.ts';
import { addHostCallRoutes } from './host-call-routes.ts';
import { addHostRoutes } from './host-routes.ts';
import { inputError } from './input-error.ts';
import { addLeaderRoutes } from './leader-routes.ts';
import { addMigrationRoutes } from './migration-routes.ts';
import { tidyComponents } from './openapi.ts';
import type { Routes } from './routes.ts';
import type { HostService } from './service.ts';
import { addVmRoutes } from './vm-routes.ts';

// A VM spec with 256 disks and 256 arguments is well below 100 KB.
const MAX_BODY_BYTES = 256 * 1024;

const HOST_ABOUT = {
  title: 'godwit host',
  description: 'Virtual machines of one host and their live migration. Errors: docs/errors.md.',
};
const FLEET_ABOUT = {
  title: 'godwit controller',
  description: 'A fleet of hosts: plans, evacuations, balance. Errors: docs/errors.md.',
};

interface ServerOptions {
  readonly access: AccessPolicy;
  readonly version: string;
  readonly logger?: FastifyBaseLogger;
}

export interface ApiServerOptions extends ServerOptions {
  readonly service: HostService;
}

export interface FleetApiServerOptions extends ServerOptions {
  readonly service: FleetService;
}

export type ApiServer = FastifyInstance;

/** Of a host. */
export function buildApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { service } = options;
  return buildServer(options, HOST_ABOUT, (routes) => {
    addHostRoutes(routes, service);
    addLeaderRoutes(routes, service);
    addVmRoutes(routes, service);
    addGroupRoutes(routes, service);
    addGroupMigrationRoutes(routes, service);
    addMigrationRoutes(routes, service);
    addEventRoutes(routes, service);
  });
}

/** Of a controller. */
export function buildFleetApiServer(options: FleetApiServerOptions): Promise<ApiServer> {
  const { service } = options;
  return buildServer(options, FLEET_ABOUT, (routes) => {
    addFleetRoutes(routes, service);
    addEvacuationRoutes(routes, service);
    addFleetEventRoutes(routes, service);
    addHostCallRoutes(routes, service);
  });
}

/** It does not listen yet: hand its `routing` to the listeners of `listen.ts`. */
async function buildServer(
  options: ServerOptions,
  about: { readonly title: string; readonly description: string },
  addRoutes: (routes: Routes) => void,
): Promise<ApiServer> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    logController: new LogController({ disableRequestLogging: true }),
    // Those that are set below do it: fastify would load its own all the same, and they are large libraries.
    schemaController: { compilersFactory: { buildValidator: notNeeded, buildSerializer: notNeeded } },
  });
  // JSON only: a web page of another site cannot send it without asking first.
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (input) => {
    const result = schema.safeParse(input ?? {});
    if (result.success) return { value: result.data };
    return { error: inputError(result.error, input ?? {}, httpPart === 'body' ? '' : (httpPart ?? '')) };
  });
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setErrorHandler((error, request, reply) => {
    const body = errorBody(error);
    const status = ERRORS[body.code].httpStatus;
    // Only of what nobody foresaw does the stack say more than the message.
    const what = body.code === 'GW_INTERNAL' ? { err: error } : { code: body.code };
    if (status >= 500) request.log.warn({ ...what, url: request.url }, body.message);
    void reply.code(status).send(body);
  });
  app.setNotFoundHandler((request) => {
    throw new GodwitError('GW_NOT_FOUND', { kind: 'API route', name: `${request.method} ${request.url}` });
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const refusal = isDashboardPath(request.url) ? undefined : refuseAccess(options.access, request.raw);
    if (refusal) done(refusal);
    else done();
  });
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        ...about,
        version: options.version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{}, { token: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => tidyComponents(jsonSchemaTransformObject(document)),
  });
  const typed = app.withTypeProvider<ZodTypeProvider>();
  await typed.register(async (scope) => {
    const routes = scope.withTypeProvider<ZodTypeProvider>();
    addRoutes(routes);
    addDashboard(scope);
    routes.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  });
  await app.ready();
  return app;
}

function notNeeded(): never {
  throw new Error('A scope of the API server has no compilers of its own');
}

/** Fastify's own refusals (bad JSON, body too large, wrong content type) become input errors. */
function errorBody(error: unknown): ErrorBody {
  if (error instanceof GodwitError) return error.toBody();
  const status = (error as { statusCode?: unknown }).statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    const fix = status === 413 ? `give at most ${MAX_BODY_BYTES} bytes` : 'give one JSON document (application/json)';
    return new GodwitError('GW_INPUT_INVALID', {
      field: 'request body',
      value: (error as Error).message,
      fix,
    }).toBody();
  }
  return asGodwitError(error).toBody();
}
