/*
 * A page that can tell whether it is itself.
 *
 * Owns: the layout of a page of the workload and the verdicts on it. Every page carries its number, the generation of
 * its last write and checksums over header and body; the generation it must have is kept elsewhere, in a table. So a
 * page that was lost, replaced by an older version, put at the wrong place or taken in the middle of a write shows.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096
#define BODY_WORDS (PAGE_BYTES / 8 - 6)
/* "GODWITPG" in memory order. */
#define PAGE_MAGIC 0x4750544957444f47ull

struct page {
  uint64_t magic;
  uint64_t number;
  uint64_t generation;
  uint64_t content; /* which generation's body the page holds */
  uint64_t body_sum;
  uint64_t header_sum;
  uint64_t body[BODY_WORDS];
};
_Static_assert(sizeof(struct page) == PAGE_BYTES, "a page of the workload is a page of the machine");

enum write_mode {
  WRITE_WORDS,   /* header only: a small change in each page */
  WRITE_PAGE,    /* the whole page gets new content */
  WRITE_REWRITE, /* the whole page is written again with the content it has */
};

enum verdict { INTACT, LOST, ALIEN, MISPLACED, TORN_HEADER, TORN_BODY, STALE, TOO_NEW };

/* Writes page `number` for the first time; `compressible` chooses what its bodies look like from now on. */
void page_fill(struct page *page, uint64_t seed, uint64_t number, bool compressible);
/* Writes the page again as generation `generation`. */
void page_write(struct page *page, uint64_t seed, uint64_t generation, enum write_mode mode, bool compressible);
/* Compares the page with what it must be; reads the body only when `whole`. */
enum verdict page_verify(const struct page *page, uint64_t seed, uint64_t number, uint64_t generation, bool whole);
const char *verdict_text(enum verdict verdict);
