/**
 * Gets a QMP greeting from a unix socket, or says why there is none.
 *
 * Must hold: a socket that does not exist yet or refuses is tried again until the timeout (QEMU is starting); a
 * connection without a greeting is reported as such, because then another client holds the socket.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { GodwitError } from '../base/errors.ts';
import { Lines } from '../base/lines.ts';

export interface QmpGreeting {
  /** Paused: the reader takes over and resumes it. */
  readonly socket: Socket;
  readonly lines: Lines;
  /** Such as `7.2.22`. */
  readonly qemuVersion: string;
}

/** QEMU's longest answers (query-qmp-schema, qom-list-properties) are below 1 MiB; a stream without line ends is no QMP. */
const MAX_QMP_LINE_BYTES: number = 16 * 1024 * 1024;
/** QEMU creates its sockets within about 30 ms of its start. */
const RETRY_MS = 10;
/** Not there yet, nobody accepts yet, or the listen queue is full. */
const RETRIED = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN']);

export async function connectQmp(
  path: string,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<QmpGreeting> {
  const deadlineMs = performance.now() + options.timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const outcome = await open(path, deadlineMs, options.signal);
    options.signal?.throwIfAborted();
    if (typeof outcome !== 'string') return greet(path, outcome, deadlineMs, options);
    if (!RETRIED.has(outcome) || performance.now() + RETRY_MS >= deadlineMs) {
      throw new GodwitError('GW_QMP_UNREACHABLE', { path, reason: explainErrno(outcome, options.timeoutMs) });
    }
    await delay(RETRY_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}

/** The connected socket, or the errno's name. */
function open(path: string, deadlineMs: number, signal: AbortSignal | undefined): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const timer = setTimeout(() => finish('ETIMEDOUT'), Math.max(deadlineMs - performance.now(), 1));
    const onAbort = (): void => finish('ECANCELED');
    const finish = (outcome: Socket | string): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      if (typeof outcome === 'string') socket.destroy();
      resolve(outcome);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => finish(socket));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });
}

function greet(
  path: string,
  socket: Socket,
  deadlineMs: number,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<QmpGreeting> {
  const lines = new Lines(MAX_QMP_LINE_BYTES, (reason) => protocolError(path, reason));
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
    };
    const fail = (error: unknown): void => {
      stop();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(options.signal?.reason);
    const timer = setTimeout(
      () => fail(new GodwitError('GW_QMP_BUSY', { path, reason: silence(options.timeoutMs) })),
      Math.max(deadlineMs - performance.now(), 1),
    );
    options.signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (cause) => fail(new GodwitError('GW_QMP_CLOSED', { path }, { cause })));
    socket.once('close', () => fail(protocolError(path, 'it closed the connection before a greeting')));
    socket.on('data', (chunk: Buffer) => {
      try {
        const [line] = lines.push(chunk);
        if (line === undefined) return;
        const qemuVersion = parseGreeting(path, line);
        stop();
        socket.pause();
        resolve({ socket, lines, qemuVersion });
      } catch (error) {
        fail(error);
      }
    });
  });
}

function parseGreeting(path: string, line: string): string {
  let greeting: { QMP?: { version?: { qemu?: { major: number; minor: number; micro: number } } } } | null;
  try {
    greeting = JSON.parse(line);
  } catch (cause) {
    throw new GodwitError('GW_QMP_PROTOCOL', { path, reason: 'its first line is not JSON' }, { cause });
  }
  const version = greeting?.QMP?.version?.qemu;
  if (!version) throw protocolError(path, 'its first line is no QMP greeting');
  return `${version.major}.${version.minor}.${version.micro}`;
}

function protocolError(path: string, reason: string): GodwitError {
  return new GodwitError('GW_QMP_PROTOCOL', { path, reason });
}

function silence(timeoutMs: number): string {
  return (
    `nothing came within ${timeoutMs} ms, so another program is probably connected to it (QEMU serves one client per ` +
    'socket at a time: close the other one, or start QEMU with a second -qmp socket), or QEMU hangs'
  );
}

function explainErrno(errno: string, timeoutMs: number): string {
  switch (errno) {
    case 'ENOENT':
      return `there is no such socket (waited ${timeoutMs} ms)`;
    case 'ECONNREFUSED':
      return `nobody listens on it (waited ${timeoutMs} ms)`;
    case 'EAGAIN':
      return 'its queue is full: other programs are waiting for it already';
    case 'EACCES':
      return 'permission denied (EACCES): run godwit as root or as the user of that QEMU';
    default:
      return errno;
  }
}
