/** From the global options to a client of the host daemon. */
import { readSecret } from '../api/text-file.ts';
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
  const { tokenFile: path } = options;
  if (path !== undefined) return readSecret({ field: '--token-file', path, fix: 'put the token into the file' });
  const token = io.environment['GODWIT_TOKEN'];
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
