/** From the global options to a client of the host daemon. */
import { readFileSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import type { Io } from './io.ts';

export const DEFAULT_API = 'http://127.0.0.1:7700';

export interface GlobalOptions {
  readonly api?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

export function openClient(options: GlobalOptions, io: Io): GodwitClient {
  const token = tokenOf(options, io);
  const url = options.api ?? io.environment['GODWIT_API'] ?? DEFAULT_API;
  return new GodwitClient({ url, ...(token === undefined ? {} : { token }) });
}

/** undefined: none is given. */
export function tokenOf(options: GlobalOptions, io: Io): string | undefined {
  const token = options.tokenFile === undefined ? io.environment['GODWIT_TOKEN'] : readToken(options.tokenFile);
  return token === '' ? undefined : token;
}

/** Runs `action` with a client and closes it, whatever happens. */
export async function withClient<T>(
  options: GlobalOptions,
  io: Io,
  action: (client: GodwitClient) => Promise<T>,
): Promise<T> {
  const client = openClient(options, io);
  try {
    return await action(client);
  } finally {
    await client.close();
  }
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new GodwitError('GW_INPUT_UNREADABLE', {
      path,
      reason: (error as NodeJS.ErrnoException).code ?? String(error),
    });
  }
}
