/** What passes between the daemon's thread and those of the relay. */
import type { ErrorBody } from '../base/errors.ts';
import type { CertificateFacts } from './tls-directory.ts';

export interface RelayInput {
  /** Where orders are read (relay-orders.ts). */
  readonly ordersFd: number;
  readonly table: SharedArrayBuffer;
  /** With the files of tls-directory.ts. */
  readonly directory: string;
  /** This host's name, for messages. */
  readonly hostName: string;
  /** Names of other hosts by HOST:PORT: their certificates have to be for one of them. */
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** Who may send VMs here; undefined: every host with a certificate. */
  readonly allow: readonly string[] | undefined;
}

export type RelayReport =
  /** These are used from now on; the first time the thread takes orders from then on, too. */
  | { readonly kind: 'renewed'; readonly certificate: CertificateFacts }
  /** The files have changed and cannot be used. */
  | { readonly kind: 'unusable'; readonly error: ErrorBody }
  /** Somebody who came was sent away. */
  | { readonly kind: 'refused'; readonly peer: string; readonly error: ErrorBody };

/** To a thread: end. */
export const STOP = 'stop';
