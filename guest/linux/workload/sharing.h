/*
 * The guest's part in a region that several VMs share, by an ivshmem device:
 *   godwit.sharing=member:0,members:2,counters:64,ring:4,own:16,rate:20000
 *
 * What lies where in the region, and what each member does to it, is told in guest/sharing/region-layout.ts; the tiny
 * guest (guest/tiny/sharing-workload.ts) does the same, so that both kinds may work on one region.
 * Owns: the mapping of the device's BAR 2, the thread that works on it, its notes. Must hold: the notes are in one page
 * of private memory, found from outside by SHARING_MAGIC (guest/linux/sharing-notes.ts), and each is made right after
 * the write to the region that it is about: a VM that is stopped anywhere has left at most one write of each kind
 * unnoted. What is not as it must be is reported at once, on the console.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "pace.h"

#define SHARING_MAGIC "GODWIT SHARING!"
#define SHARING_PAGE_BYTES 4096
/* What fits into the page of the notes. */
#define MAX_SHARED_COUNTERS 1000
#define MAX_MEMBERS 16

/* In guest/sharing/coherence.ts, SHARING_ERRORS. */
enum sharing_error { COUNTER_BACK = 1, NOT_PRODUCED, RING_OVERRUN, WRONG_ENTRY, NOT_CONSUMED, WRONG_OWN_PAGE };

/* 32-bit numbers, in the order that guest/linux/sharing-notes.ts reads them; the counting ones wrap. */
struct sharing_notes {
  char magic[16]; /* SHARING_MAGIC once there is something to see */
  uint32_t member;
  uint32_t members;
  uint32_t counters;
  uint32_t ring_pages;
  uint32_t own_pages;
  uint32_t pending; /* the counter that is being incremented, plus one; 0 when there is none */
  uint32_t produced;
  uint32_t consumed;
  uint32_t own_writes;
  uint32_t errors;
  /* Of the first error. */
  uint32_t error_kind;
  uint32_t error_page;
  uint32_t error_found;
  uint32_t error_expected;
  uint32_t counts[MAX_SHARED_COUNTERS];
} __attribute__((aligned(SHARING_PAGE_BYTES)));
_Static_assert(sizeof(struct sharing_notes) == SHARING_PAGE_BYTES, "the notes are one page");

/* Takes part if the kernel command line says so. False, with the reason in `error`, when it cannot. */
bool sharing_start(const char *command_line, char *error, unsigned error_bytes);
bool sharing_on(void);
/* Steps a second; 0: none. */
void sharing_set_rate(uint64_t rate);
/* `increments=… produced=… consumed=… own=… errors=…` */
void sharing_print(void);
