/**
 * What the report says of a shared region's pages at one side.
 *
 * Owns: the counts. They decide nothing.
 */
export interface RegionTally {
  /** Pages that this side asked for: at the source these are the accesses for which a page was lent. */
  asked: number;
  /** Repetitions, after a time-out or because the link was cut. */
  askedAgain: number;
  /** The other side asked, and the page was on its way or there already. */
  askedInVain: number;
  /** Given because the other side asked: at the source moved on request, at the destination lent. */
  givenOnRequest: number;
  /** Lent to the source, and given back without having been asked for. */
  returned: number;
  /** Given without having been asked for, in the background or as the last ones. */
  pushed: number;
  /** Sent once more, because the link was cut before they were acknowledged. */
  sentAgain: number;
  /** Pages that came and were put in place. */
  arrived: number;
  /** Pages that came and had been in place before. */
  arrivedAgain: number;
  /** Accesses that were told when the page was here: it had come meanwhile, or had never been touched. */
  accessesToPresent: number;
}

export function openTally(): RegionTally {
  return {
    asked: 0,
    askedAgain: 0,
    askedInVain: 0,
    givenOnRequest: 0,
    returned: 0,
    pushed: 0,
    sentAgain: 0,
    arrived: 0,
    arrivedAgain: 0,
    accessesToPresent: 0,
  };
}
