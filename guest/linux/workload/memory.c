/*
 * The workload's memory and the threads that work on it; see memory.h.
 */
#include "memory.h"
#include "pace.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SEGMENT_PAGES 256
#define MAX_REPORTS 20

struct counters counters;
struct options options;

static struct page *pages;
static uint64_t *generations;
static bool *known_bad;
static pthread_mutex_t *locks;

static void *reserve(uint64_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static uint64_t available_bytes(void) {
  FILE *file = fopen("/proc/meminfo", "r");
  char line[128];
  unsigned long long kib = 0;
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  if (file != NULL) fclose(file);
  return kib << 10;
}

/* Spread over the memory, so that both kinds lie side by side everywhere. */
static bool is_compressible(uint64_t number) {
  return (number * 0x9e3779b97f4a7c15ull >> 33) % 100 < options.compressible_percent;
}

bool memory_fill(void) {
  uint64_t count = options.fill_pages;
  uint64_t segments = (count + SEGMENT_PAGES - 1) / SEGMENT_PAGES;
  /* The last 8 MiB are left to the kernel and the shell: an out-of-memory kill would look like a broken migration. */
  if (count * (PAGE_BYTES + 16) + (8 << 20) > available_bytes()) return false;
  pages = reserve(count * PAGE_BYTES);
  generations = reserve(count * sizeof *generations);
  known_bad = reserve(count);
  locks = calloc(segments, sizeof *locks);
  if (pages == NULL || generations == NULL || known_bad == NULL || locks == NULL) return false;
  for (uint64_t i = 0; i < segments; i++) pthread_mutex_init(&locks[i], NULL);
  for (uint64_t i = 0; i < count; i++) page_fill(&pages[i], options.seed, i, is_compressible(i));
  return true;
}

/* With the lock held. */
static bool verify(uint64_t number, bool whole) {
  if (known_bad[number]) return false;
  enum verdict verdict = page_verify(&pages[number], options.seed, number, generations[number], whole);
  if (verdict == INTACT) return true;
  known_bad[number] = true;
  if (atomic_fetch_add(&counters.corrupt, 1) < MAX_REPORTS)
    printf("memory CORRUPT page %llu: %s, generation %llu, must be %llu, page number %llu, uptime=%.3f\n",
           (unsigned long long)number, verdict_text(verdict), (unsigned long long)pages[number].generation,
           (unsigned long long)generations[number], (unsigned long long)pages[number].number, clock_ns() / 1e9);
  return false;
}

static void lock_segment(uint64_t number) { pthread_mutex_lock(&locks[number / SEGMENT_PAGES]); }
static void unlock_segment(uint64_t number) { pthread_mutex_unlock(&locks[number / SEGMENT_PAGES]); }

/* Checks before it overwrites: else the write would hide what was lost. A bad page is left as evidence. */
static void write_page(uint64_t number) {
  if (!verify(number, options.check_rate > 0)) return;
  generations[number]++;
  page_write(&pages[number], options.seed, generations[number], options.mode, is_compressible(number));
}

static void *write_for_ever(void *argument) {
  uint64_t thread = (uint64_t)(uintptr_t)argument;
  struct pace pace = {.last_ns = clock_ns()};
  uint64_t cursor = 0, random = options.seed + thread;
  for (;;) {
    uint64_t share = options.rate == RATE_MAX ? RATE_MAX : options.rate / options.threads;
    /* Each thread has a slice of the working set for itself. */
    uint64_t start = options.working_pages * thread / options.threads;
    uint64_t size = options.working_pages * (thread + 1) / options.threads - start;
    if (size == 0 || share == 0) {
      nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
      continue;
    }
    uint64_t left = pace_due(&pace, share);
    while (left > 0) {
      if (cursor >= size) cursor = 0;
      if (options.random_order) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        cursor = (random >> 33) % size;
      }
      uint64_t number = start + cursor, run = left;
      uint64_t to_segment_end = SEGMENT_PAGES - number % SEGMENT_PAGES;
      if (options.random_order) run = 1;
      if (run > to_segment_end) run = to_segment_end;
      if (run > size - cursor) run = size - cursor;
      lock_segment(number);
      for (uint64_t i = 0; i < run; i++) write_page(number + i);
      unlock_segment(number);
      atomic_fetch_add(&counters.written, run);
      cursor += run;
      left -= run;
    }
  }
  return NULL;
}

static uint64_t check_run(uint64_t first, uint64_t count) {
  uint64_t bad = 0;
  lock_segment(first);
  for (uint64_t i = 0; i < count; i++) bad += !verify(first + i, true);
  unlock_segment(first);
  atomic_fetch_add(&counters.verified, count);
  return bad;
}

static uint64_t run_at(uint64_t number, uint64_t wanted) {
  uint64_t to_end = options.fill_pages - number;
  uint64_t to_segment_end = SEGMENT_PAGES - number % SEGMENT_PAGES;
  uint64_t limit = to_end < to_segment_end ? to_end : to_segment_end;
  return wanted < limit ? wanted : limit;
}

uint64_t memory_check_all(void) {
  uint64_t bad = 0;
  for (uint64_t at = 0; at < options.fill_pages;) {
    uint64_t run = run_at(at, BATCH_PAGES);
    bad += check_run(at, run);
    at += run;
  }
  return bad;
}

static void *check_for_ever(void *argument) {
  struct pace pace = {.last_ns = clock_ns()};
  uint64_t cursor = 0, pass = 0, bad = 0;
  (void)argument;
  for (;;) {
    if (options.check_rate == 0) {
      nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
      continue;
    }
    uint64_t due = pace_due(&pace, options.check_rate);
    if (due == 0) continue;
    uint64_t run = run_at(cursor, due);
    bad += check_run(cursor, run);
    cursor += run;
    if (cursor < options.fill_pages) continue;
    pass++;
    if (bad == 0) printf("memory intact: pass %llu over %llu pages\n", (unsigned long long)pass, (unsigned long long)cursor);
    else printf("memory CORRUPT: %llu of %llu pages, pass %llu\n", (unsigned long long)bad, (unsigned long long)cursor, (unsigned long long)pass);
    cursor = bad = 0;
  }
  return NULL;
}

void memory_start(void) {
  pthread_t thread;
  memcpy(counters.magic, COUNTERS_MAGIC, sizeof counters.magic);
  for (uint64_t i = 0; i < options.threads; i++) pthread_create(&thread, NULL, write_for_ever, (void *)(uintptr_t)i);
  pthread_create(&thread, NULL, check_for_ever, NULL);
}
