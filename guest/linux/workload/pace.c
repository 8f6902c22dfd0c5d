/*
 * Doing things at a rate; see pace.h.
 */
#include "pace.h"
#include <time.h>

uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t pace_due(struct pace *pace, uint64_t rate) {
  uint64_t now = clock_ns();
  if (rate == RATE_MAX) return BATCH_PAGES;
  double limit = rate / 10.0 > 1 ? rate / 10.0 : 1;
  pace->due += (double)(now - pace->last_ns) * rate / 1e9;
  pace->last_ns = now;
  if (pace->due > limit) pace->due = limit;
  uint64_t due = pace->due > BATCH_PAGES ? BATCH_PAGES : (uint64_t)pace->due;
  pace->due -= due;
  if (due == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  return due;
}
