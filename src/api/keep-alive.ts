/**
 * How long a connection of the API stays open while nothing is asked on it, or nothing comes on it.
 *
 * Must hold: the client gives up first, by far. A request that leaves at the moment at which the host closes the
 * connection is lost, and a host that was held up comes to its timers before it reads what has arrived meanwhile.
 */

/** Commands and programs that ask again and again do so more often. */
export const CLIENT_IDLE_MS = 4_000;
/** A host that is held up longer than the difference answers nobody's questions in time anyway. */
export const HOST_IDLE_MS = 120_000;

/** Something is written to a stream of events so often; below the usual 30 s and 60 s of proxies. */
export const HEARTBEAT_MS = 15_000;
/** A stream that is silent for longer is taken for lost: a machine that has lost its power says no goodbye. */
export const LONGEST_SILENCE_MS: number = 3 * HEARTBEAT_MS;
