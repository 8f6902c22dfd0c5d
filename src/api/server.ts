/**
 * The HTTP API: fastify with the schemas as the single source of validation, types and the OpenAPI document.
 *
 * Must hold: bodies are bounded; every request comes through the guard first (guard.ts).
 */
import { randomBytes } from 'node:crypto';
import fastifySwagger from '@fastify/swagger';
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { asGodwitError, ERRORS, type ErrorBody, GodwitError } from '../base/errors.ts';
import type { AccessPolicy } from './access.ts';
import type { AuditTrail } from './audit.ts';
import { addDashboard } from './dashboard.ts';
import { addEvacuationRoutes } from './evacuation-routes.ts';
import { addFleetEventRoutes } from './fleet-event-routes.ts';
import { addFleetRoutes } from './fleet-routes.ts';
import type { FleetService } from './fleet-service.ts';
import { addGuard } from './guard.ts';
import { addHostApiRoutes } from './host-api-routes.ts';
import { addHostCallRoutes } from './host-call-routes.ts';
import { inputError } from './input-error.ts';
import { tidyComponents } from './openapi.ts';
import type { Routes } from './routes.ts';
import type { HostService } from './service.ts';

// A VM spec with 256 disks and 256 arguments is well below 100 KB.
const MAX_BODY_BYTES = 256 * 1024;

/** Told apart in logs of years. */
const REQUEST_ID_BYTES = 8;

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
  readonly audit?: AuditTrail;
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
  return buildServer(options, HOST_ABOUT, (routes) => addHostApiRoutes(routes, service));
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
    genReqId: () => randomBytes(REQUEST_ID_BYTES).toString('hex'),
    ...(options.logger === undefined ? { logger: false } : { loggerInstance: options.logger }),
    // Of a URL that is none, before any route or hook: also these are told in godwit's words.
    frameworkErrors: ({ message }, _request, reply) => {
      const fix =
        'give a path of docs/api.md, names in it with % and two hexadecimal digits for what a URL cannot have';
      const { code, ...body } = new GodwitError('GW_INPUT_INVALID', { field: 'URL', value: message, fix }).toBody();
      void (reply as FastifyReply).code(ERRORS[code].httpStatus).send({ code, ...body });
    },
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
    request.failure = body.code;
    const status = ERRORS[body.code].httpStatus;
    // Only of what nobody foresaw does the stack say more than the message.
    const what = body.code === 'GW_INTERNAL' ? { err: error } : { code: body.code };
    if (status >= 500) request.log.warn({ ...what, url: request.url }, body.message);
    void reply.code(status).send(body);
  });
  app.setNotFoundHandler((request) => {
    throw new GodwitError('GW_NOT_FOUND', { kind: 'API route', name: `${request.method} ${request.url}` });
  });
  addGuard(app, options.access, options.audit);
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
    routes.get('/openapi.json', { config: { right: 'any token' }, schema: { hide: true } }, () => app.swagger());
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
