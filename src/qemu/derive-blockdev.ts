/**
 * Block nodes at the destination.
 *
 * Must hold: a disk that goes through the source's block server goes through the destination's, also where both hosts are one
 * machine; every other node stays as it is.
 */
import type { JsonValue } from '../base/errors.ts';
import type { Argument } from './arguments.ts';
import type { Derivation } from './derivation.ts';
import { parseObject } from './option-string.ts';

export function deriveBlockdev(argument: Argument, { options }: Derivation): Argument {
  const { sourceNbdSocket, endpoints } = options;
  const node = parseObject(argument.value ?? '');
  const server = node?.['server'] as { readonly path?: JsonValue } | null | undefined;
  if (sourceNbdSocket === undefined || server?.path !== sourceNbdSocket) return argument;
  const path = endpoints.nbdSocketPath ?? null;
  return { option: argument.option, value: JSON.stringify({ ...node, server: { ...server, path } }) };
}
