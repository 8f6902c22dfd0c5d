/**
 * The numbers of the region protocol as it is driven.
 */

/** 4 MiB of copies on each side: a page that somebody waits for is never held up by acknowledgements on their way. */
export const WINDOW_PAGES = 1024;
/** Half a MiB on its way: 1 Gbit/s is full at 4 ms there and back, and a page that is asked for waits no longer behind it. */
export const PUSH_WINDOW_PAGES = 128;
/** With so many left the rest goes at once: a quarter of a MiB. */
export const COMPLETE_AT_PAGES = 64;
/**
 * Lent to a VM at full speed from the access that stops it until it stands; as a rule it stands before. A stop can take as long as
 * a migration takes to begin, and each page that is lent meanwhile is held for as long.
 */
export const LENT_AT_ONCE_PAGES = 32;
/** Of further ones one is lent in so long: no stop is delayed much by the one page that it waits for. */
export const LEND_EVERY_MS = 5;
/** Many times what a page takes over any link on which a VM could go on. */
export const ASK_AGAIN_MS = 1000;
/** A destination that has everything and has lost its source answers for so long. */
export const LINGER_MS = 600_000;
