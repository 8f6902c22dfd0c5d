/*
 * Contents and checks of the workload's pages; see page.h.
 *
 * Must hold: a header is written after the body it describes.
 */
#include "page.h"

#define MULTIPLIER 0x5851f42d4c957f2dull
#define INCREMENT 0x14057b7ef767814full

static uint64_t mix(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdull;
  value ^= value >> 29;
  value *= 0xc4ceb9fe1a85ec53ull;
  return value ^ (value >> 32);
}

/* Log-like text: LZ4 takes it to about a third, zstd to a sixth. */
static const char WORDS[32][8] = {
    "request ", "response", " status=", "200 OK\n\0", "GET /api", "/v1/list", " HTTP/1.", "host=web",
    "session=", "user=ann", " cache=h", "it  time", "=0000012", " ms   \n\0", "warning:", " retry i",
    "n 5 s\n\0\0", "connect ", "timeout ", "queue=ma", "in len= ", "worker 3", " started", " stopped",
    "\0\0\0\0\0\0\0", "\0\0\0\0\0\0\1", "        ", "--------", "order id", " shipped", " pending", "{\"key\": ",
};

static uint64_t word_of(uint64_t random, unsigned index) {
  if (index % 12 == 0) return random; /* an identifier now and then, as in real text */
  uint64_t word;
  __builtin_memcpy(&word, WORDS[(random >> 59) & 31], 8);
  return word;
}

static void write_body(struct page *page, uint64_t seed, bool compressible) {
  uint64_t state = mix(seed ^ mix(page->number * 0x9e3779b97f4a7c15ull + page->content));
  uint64_t sum = state;
  for (unsigned i = 0; i < BODY_WORDS; i++) {
    state = state * MULTIPLIER + INCREMENT;
    uint64_t word = compressible ? word_of(state, i) : state ^ (state >> 32);
    page->body[i] = word;
    sum = (sum ^ word) * MULTIPLIER;
  }
  page->body_sum = sum;
}

static uint64_t sum_body(const struct page *page, uint64_t seed) {
  uint64_t sum = mix(seed ^ mix(page->number * 0x9e3779b97f4a7c15ull + page->content));
  for (unsigned i = 0; i < BODY_WORDS; i++) sum = (sum ^ page->body[i]) * MULTIPLIER;
  return sum;
}

static uint64_t sum_header(const struct page *page) {
  return mix(page->number ^ mix(page->generation ^ mix(page->content ^ mix(page->body_sum))));
}

void page_fill(struct page *page, uint64_t seed, uint64_t number, bool compressible) {
  page->number = number;
  page->generation = 0;
  page->content = 0;
  write_body(page, seed, compressible);
  page->header_sum = sum_header(page);
  page->magic = PAGE_MAGIC;
}

void page_write(struct page *page, uint64_t seed, uint64_t generation, enum write_mode mode, bool compressible) {
  if (mode == WRITE_PAGE) page->content = generation;
  if (mode != WRITE_WORDS) write_body(page, seed, compressible);
  page->generation = generation;
  page->header_sum = sum_header(page);
}

enum verdict page_verify(const struct page *page, uint64_t seed, uint64_t number, uint64_t generation, bool whole) {
  if (page->magic != PAGE_MAGIC) {
    const uint64_t *words = (const uint64_t *)page;
    for (unsigned i = 0; i < PAGE_BYTES / 8; i++)
      if (words[i] != 0) return ALIEN;
    return LOST;
  }
  if (page->header_sum != sum_header(page)) return TORN_HEADER;
  if (page->number != number) return MISPLACED;
  if (page->generation < generation) return STALE;
  if (page->generation > generation) return TOO_NEW;
  if (whole && page->body_sum != sum_body(page, seed)) return TORN_BODY;
  return INTACT;
}

const char *verdict_text(enum verdict verdict) {
  static const char *const TEXTS[] = {
      "intact",           "lost (all zero)",     "alien (not a page of the workload)", "misplaced (another page)",
      "torn in its header", "torn in its body", "stale (an older version)",           "newer than the table says",
  };
  return TEXTS[verdict];
}
