/**
 * The dashboard's files (web/, built by vite into web/dist), served beside the API: `/` and `/assets/…`.
 *
 * Owns: the headers that keep the page to itself: it may load and ask nothing but this server.
 * Must hold: only files that the build has listed are served, so that no path leads elsewhere; they hold no secret and are
 * given without a token, since the page is what asks for the token. A build that is missing is said to be, and harms no API.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** The same from src/api and from dist/api. */
const BUILT = fileURLToPath(new URL('../../web/dist/', import.meta.url));

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

const NOT_BUILT = `<!doctype html><html lang="en"><title>godwit</title>
<h1>The dashboard is not built</h1>
<p>Run <code>npm run setup</code> (or <code>npm run build</code>) where godwit is installed and load this page again.</p>
<p>The API and the command line work without it.</p></html>
`;

interface ServedFile {
  readonly type: string;
  readonly plain: Buffer;
  readonly zipped: Buffer;
  readonly etag: string;
}

/** @param directory - where the build lies; tests have others */
export function addDashboard(app: FastifyInstance, directory: string = BUILT): void {
  let files: ReadonlyMap<string, ServedFile> | undefined;
  const serve = (request: FastifyRequest, reply: FastifyReply, name: string): FastifyReply => {
    // Only a build that is there is kept, so that one that comes later is seen.
    files ??= readBuild(directory);
    const file = files?.get(name);
    reply.headers(HEADERS);
    if (file) return sendFile(request, reply, file, name.startsWith('assets/'));
    const isPage = name === 'index.html';
    return reply
      .code(isPage ? 503 : 404)
      .header('cache-control', 'no-store')
      .type(isPage ? CONTENT_TYPES['.html']! : 'text/plain; charset=utf-8')
      .send(isPage ? NOT_BUILT : 'No such file: the dashboard was built anew, load the page again\n');
  };
  const open = { config: { right: 'everybody' }, schema: { hide: true } } as const;
  app.get('/', open, (request, reply) => serve(request, reply, 'index.html'));
  app.get('/assets/*', open, (request, reply) =>
    serve(request, reply, `assets/${(request.params as Record<string, string>)['*']}`),
  );
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: ServedFile, isHashed: boolean): FastifyReply {
  // A name with a hash in it never means anything else.
  reply.header('cache-control', isHashed ? 'public, max-age=31536000, immutable' : 'no-cache');
  reply.header('etag', file.etag).header('vary', 'accept-encoding').type(file.type);
  if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
  if (!/\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) return reply.send(file.plain);
  return reply.header('content-encoding', 'gzip').send(file.zipped);
}

function readBuild(directory: string): ReadonlyMap<string, ServedFile> | undefined {
  if (!existsSync(join(directory, 'index.html'))) return undefined;
  const names = ['index.html', ...readdirSync(join(directory, 'assets')).map((name) => `assets/${name}`)];
  return new Map(
    names.map((name) => {
      const plain = readFileSync(join(directory, name));
      const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
      const type = CONTENT_TYPES[extname(name)] ?? 'application/octet-stream';
      return [name, { type, plain, zipped: gzipSync(plain), etag }];
    }),
  );
}
