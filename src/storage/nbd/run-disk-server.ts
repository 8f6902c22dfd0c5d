/**
 * `godwit disk serve`: one image, one server, until it is told to end.
 *
 * Must hold: while it may write, nobody else has the image; it ends when every client has the answers to what it has asked
 * for; told a second time it ends at once.
 */
import { readFileSync, rmSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { explain, GodwitError } from '../../base/errors.ts';
import { BufferPool } from './buffer-pool.ts';
import { openDiskFile } from './disk-file.ts';
import { explainRefusedLock } from './image-lock.ts';
import { type ClientView, type ListenAddress, NbdServer, type ServerEvent } from './nbd-server.ts';
import { ServedDisk } from './served-disk.ts';

export interface DiskServerSettings {
  readonly path: string;
  readonly address: ListenAddress;
  readonly exportName: string;
  readonly isReadOnly: boolean;
  readonly isRaw: boolean;
  /** Files of PEM; all or none but the authority's. */
  readonly tls:
    | { readonly certificate: string; readonly key: string; readonly authority: string | undefined }
    | undefined;
}

export interface ServedFacts {
  readonly image: string;
  readonly bytes: number;
  readonly readOnly: boolean;
  readonly exportName: string;
  readonly uri: string;
}

export interface DiskServerLife {
  ready(facts: ServedFacts): void;
  onEvent(event: ServerEvent): void;
  note(text: string): void;
  /** Asked for by a signal. */
  tell(clients: readonly ClientView[]): void;
  onStopSignal(listener: () => void): () => void;
}

/** @throws GW_DISK_UNUSABLE, GW_NBD_LISTEN, GW_INPUT_UNREADABLE */
export async function runDiskServer(settings: DiskServerSettings, life: DiskServerLife): Promise<void> {
  const { path, isReadOnly, exportName, tls } = settings;
  const pool = new BufferPool();
  const secrets = tls && readSecrets(tls);
  using image = openDiskFile(path, settings);
  const lock = image.lock.take();
  if (lock.kind === 'refused') throw await explainRefusedLock(path);
  if (lock.kind === 'unable') life.note(`${path} cannot be locked (${lock.reason}): nothing keeps others from it`);
  const server = new NbdServer({ tls: secrets, pool, onEvent: (event) => life.onEvent(event) });
  const disk = new ServedDisk({ image, isReadOnly, pool });
  server.addExport(exportName, { disk, generation: disk.table.generation });
  const address = await server.listen(settings.address);
  const facts = { image: path, bytes: image.bytes, readOnly: isReadOnly, exportName };
  const tell = (): void => life.tell(server.clients());
  process.on('SIGUSR1', tell);
  const { promise: told, resolve } = Promise.withResolvers<void>();
  const unlisten = life.onStopSignal(resolve);
  life.ready({ ...facts, uri: uriOf(address, exportName, tls !== undefined) });
  await told;
  unlisten();
  const { promise: toldAgain, resolve: end } = Promise.withResolvers<void>();
  const forget = life.onStopSignal(end);
  await Promise.race([server.close().then(() => disk.table.idle()), toldAgain]);
  forget();
  process.off('SIGUSR1', tell);
  if ('path' in address) rmSync(address.path, { force: true });
}

function readSecrets({ certificate, key, authority }: NonNullable<DiskServerSettings['tls']>): SecureContextOptions {
  return {
    cert: readSecret(certificate),
    key: readSecret(key),
    ...(authority === undefined ? {} : { ca: readSecret(authority) }),
  };
}

function readSecret(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason: explain(error) });
  }
}

/** https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md */
function uriOf(address: ListenAddress, exportName: string, isEncrypted: boolean): string {
  const scheme = isEncrypted ? 'nbds' : 'nbd';
  const name = encodeURIComponent(exportName);
  if ('path' in address)
    return `${scheme}+unix:///${name}?socket=${encodeURIComponent(address.path).replaceAll('%2F', '/')}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${scheme}://${host}:${address.port}/${name}`;
}
