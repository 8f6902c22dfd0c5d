/**
 * The sockets on which the API is served.
 *
 * Owns: parsing of listen addresses (`HOST:PORT`, `unix:/path`) and the listening servers. Must hold: an address that
 * is taken or not allowed is a clear error; a unix socket left behind by a dead daemon is replaced, a live one never.
 */
import { chmodSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { GodwitError } from '../base/errors.ts';
import { boundedHost } from '../base/host-name.ts';
import { HOST_IDLE_MS } from './keep-alive.ts';

export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface ApiListener {
  /** `http://HOST:PORT` or `unix:/path`, with the real port. */
  readonly url: string;
  close(): void;
}

const MAX_UNIX_PATH = 107; // sockaddr_un.sun_path, unix(7)

/** Only the daemon's own user: whoever can call this API can start programs as that user. */
export const PRIVATE_MODE = 0o600;

/** Throws GW_INPUT_INVALID naming `field`. */
export function parseListenAddress(text: string, field: string): ListenAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path.startsWith('/') && Buffer.byteLength(path) <= MAX_UNIX_PATH) return { kind: 'unix', path };
    throw invalid(field, text, `an absolute path of at most ${MAX_UNIX_PATH} bytes after unix:`);
  }
  return { kind: 'tcp', ...parseHostPort(text, field) };
}

/** `HOST:PORT`, `[v6]:PORT`; port 0 lets the system choose. Throws GW_INPUT_INVALID naming `field`. */
export function parseHostPort(text: string, field: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) throw invalid(field, text, 'HOST:PORT such as 127.0.0.1:7700');
  return { host: boundedHost(match[1] ?? match[2]!, field), port };
}

/** Where an API is reached: a URL without TLS or with it, or `unix:/path`. */
export function isApiAddress(text: string): boolean {
  return /^unix:(\/\/)?\//.test(text) || (/^https?:\/\//.test(text) && URL.canParse(text));
}

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** @param socketMode - of a unix socket; who may write it may do everything */
export async function openApiListener(
  address: ListenAddress,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  socketMode: number = PRIVATE_MODE,
): Promise<ApiListener> {
  // An import of it by name makes Node load its own HTTP client as well, a tenth of a second for each command.
  const { createServer } = process.getBuiltinModule('node:http');
  const server = createServer({ keepAliveTimeout: HOST_IDLE_MS }, handle);
  if (address.kind === 'unix') await removeDeadSocket(address.path);
  await listen(server, address);
  if (address.kind === 'unix') chmodSync(address.path, socketMode);
  return {
    url:
      address.kind === 'unix'
        ? `unix:${address.path}`
        : `http://${formatHostPort(address.host, (server.address() as AddressInfo).port)}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = address.kind === 'unix' ? address.path : formatHostPort(address.host, address.port);
      const why = error.code === 'EADDRINUSE' ? 'it is in use by another process' : (error.code ?? error.message);
      reject(new GodwitError('GW_HOST_START', { reason: `cannot listen on ${where}: ${why}` }));
    });
    const done = (): void => resolve();
    if (address.kind === 'unix') server.listen({ path: address.path }, done);
    else server.listen({ host: address.host, port: address.port }, done);
  });
}

function removeDeadSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve();
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') rmSync(path, { force: true });
      resolve();
    });
  });
}

function invalid(field: string, value: string, wanted: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix: `give ${wanted}` });
}
