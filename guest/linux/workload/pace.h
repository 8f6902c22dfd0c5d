/*
 * Doing things at a rate: so many a second by the clock, or as fast as it goes.
 */
#pragma once
#include <stdint.h>

/* As fast as it goes. */
#define RATE_MAX UINT64_MAX
/* Due at once, at most. Long enough to make taking a lock cheap, short enough that others wait less than a millisecond. */
#define BATCH_PAGES 32

/* At most a tenth of a second's worth is caught up: no burst after a pause. */
struct pace {
  uint64_t last_ns; /* begin with clock_ns() */
  double due;
};

/* Monotonic. */
uint64_t clock_ns(void);
/* How many are due now; sleeps for a moment when none is. */
uint64_t pace_due(struct pace *pace, uint64_t rate);
