/*
 * The workload's memory: pages that check themselves, written by some threads and verified by another.
 *
 * Owns: the pages, the table of the generations they must have, the locks between writers and checkers, the counters.
 * Must hold: who writes or verifies a page holds its segment's lock; a page found bad is reported once and stays bad.
 */
#pragma once
#include <stdatomic.h>
#include "options.h"

#define COUNTERS_MAGIC "GODWIT PROGRESS"

/* In a page of its own, so that it can be found and watched from outside, in the VM's RAM file (bench/). */
struct counters {
  char magic[16]; /* COUNTERS_MAGIC once there is something to watch */
  atomic_uint_fast64_t written;
  atomic_uint_fast64_t verified;
  atomic_uint_fast64_t corrupt; /* pages, each counted once */
} __attribute__((aligned(PAGE_BYTES)));

extern struct counters counters;
/* Read by the threads before each batch, changed by `set` on the console. */
extern struct options options;

/* Takes the memory and fills it. False when the machine has not got that much. */
bool memory_fill(void);
/* Starts writers and checker; they run for ever. */
void memory_start(void);
/* Verifies every page once; returns how many are bad. */
uint64_t memory_check_all(void);
