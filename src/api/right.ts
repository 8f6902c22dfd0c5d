/**
 * Rights of a token, and what a route says of the right that it needs.
 *
 * Owns: the words. Must hold: each route says its right where it is declared (`config: { right: … }`); guard.ts serves none that does not.
 */
import type { FastifyRequest } from 'fastify';

export const RIGHTS = ['read', 'operate', 'migrate-send', 'migrate-receive'] as const;

export type Right = (typeof RIGHTS)[number];

export type RouteRight =
  | Right
  /** Whoever reaches the address, without a token: what is there holds no secret. */
  | 'everybody'
  /** Every token, whatever its rights. */
  | 'any token'
  | RightOfRequest;

/** Where it depends on what is asked for. */
export interface RightOfRequest {
  /** Those that it can be. */
  readonly oneOf: readonly Right[];
  /** All of these are needed. @throws GodwitError where there is no such thing */
  of(request: FastifyRequest): readonly Right[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    right?: RouteRight;
    /** Beside it, for what some requests ask for. @param request - with its body, as far as it was read */
    alsoNeeds?: (request: FastifyRequest) => readonly Right[];
  }
}

/** Of the routes' right as such, whatever the request: all that it can take. */
export function mostOf(right: RouteRight): readonly Right[] {
  if (right === 'everybody' || right === 'any token') return [];
  return typeof right === 'string' ? [right] : right.oneOf;
}

export function neededBy(right: RouteRight, request: FastifyRequest): readonly Right[] {
  return typeof right === 'object' ? right.of(request) : mostOf(right);
}
