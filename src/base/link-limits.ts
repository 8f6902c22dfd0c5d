/** How long a connection between two hosts may be silent before it counts as lost. */

/**
 * Data that the other side has not acknowledged for this long means that the link or the host is gone: TCP itself
 * would go on for a quarter of an hour.
 */
export const UNACKNOWLEDGED_LIMIT_MS = 10_000;

/** An idle connection is probed after this time, so that a host that is gone is noticed. */
export const KEEP_ALIVE_MS = 3000;
