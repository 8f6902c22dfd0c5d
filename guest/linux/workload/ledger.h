/*
 * The guest's disk: numbered writes that are read back, so that what is lost, late or swapped is noticed:
 *   godwit.disk=threads:8,blocks:4,trim:1
 *
 * Every thread has blocks of its own, next to each other, and writes a higher number to one of them, or to up to three
 * neighbours at once, when its last write was acknowledged; what it reads must be the last number that it wrote. Few blocks
 * and many writes that overlap: an old write that comes late meets a newer one. Some steps flush; with `trim` one more thread discards a block, which then reads as zero.
 * Owns: the threads, the ledger (the last acknowledged number of each block) and its counts. Must hold: all goes past the
 * guest's own page cache (O_DIRECT), so that every step is a request to the device; what is not as it must be, and every
 * error of the device, is reported at once, on the console.
 */
#pragma once
#include <stdbool.h>

#define MAX_LEDGER_THREADS 32
#define MAX_LEDGER_BLOCKS 1024

/* Begins if the kernel command line says so. False, with the reason in `error`, when it cannot. */
bool ledger_start(const char *command_line, char *error, unsigned error_bytes);
bool ledger_on(void);
/* `ledger writes=… reads=… flushes=… trims=… errors=…` */
void ledger_print(void);
