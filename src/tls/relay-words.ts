/** What passes between the daemon's thread and those of the relay. */
import type { ErrorBody } from '../base/errors.ts';
import type { TlsMaterial } from './tls-directory.ts';

export interface RelayInput {
  /** Where orders are read (relay-orders.ts). */
  readonly ordersFd: number;
  readonly table: SharedArrayBuffer;
  /** With the files of tls-directory.ts. */
  readonly directory: string;
  /** The last of it that could serve: what is there may be half of something new. */
  readonly material: TlsMaterial;
  /** This host's name, for messages. */
  readonly hostName: string;
  /** Names of other hosts by `pinKey`: their certificates have to be for one of them. */
  readonly names: Readonly<Record<string, readonly string[]>>;
  /** Who may send VMs here; undefined: every host with a certificate. */
  readonly allow: readonly string[] | undefined;
}

export type RelayReport =
  /** These are used from now on. */
  | { readonly kind: 'renewed'; readonly material: TlsMaterial }
  /** The files have changed and cannot be used. */
  | { readonly kind: 'unusable'; readonly error: ErrorBody }
  /** Somebody who came was sent away, or an order could not be taken. */
  | { readonly kind: 'refused'; readonly peer: string; readonly error: ErrorBody };

/** To a thread: end. */
export const STOP = 'stop';
