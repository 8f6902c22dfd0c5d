/*
 * The guest's disk; see ledger.h.
 */
#define _GNU_SOURCE
#include "ledger.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "options.h"

#define BLOCK_BYTES 4096
/* Of one write. */
#define MAX_SPAN 3
#define MAX_REPORTS 20
/* The drivers are loaded by now, and look for their disks in the background. */
#define FIND_TRIES 100
#define FIND_PAUSE_US 50000

struct entry {
  uint64_t magic;
  uint64_t block;
  uint64_t number;
  uint64_t words[BLOCK_BYTES / 8 - 3];
};
_Static_assert(sizeof(struct entry) == BLOCK_BYTES, "an entry is one block");
#define MAGIC 0x52454744454c4447ull

struct ledger_options {
  uint64_t threads;
  uint64_t blocks;
  uint64_t trim;
};

static const char *const DEVICES[] = {"/dev/vda", "/dev/sda"};
static struct ledger_options settings = {.threads = 8, .blocks = 4, .trim = 0};
static _Atomic uint64_t writes, reads, flushes, trims, errors;
static int disk = -1;

static void report(const char *what, uint64_t block, uint64_t found, uint64_t expected) {
  if (atomic_fetch_add(&errors, 1) >= MAX_REPORTS) return;
  printf("disk CORRUPT: %s: block %llu found %llu expected %llu\n", what, (unsigned long long)block,
         (unsigned long long)found, (unsigned long long)expected);
}

static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void fill(struct entry *entry, uint64_t block, uint64_t number) {
  entry->magic = MAGIC;
  entry->block = block;
  entry->number = number;
  uint64_t state = (number << 16 ^ block) | 1;
  for (unsigned i = 0; i < sizeof entry->words / 8; i++) entry->words[i] = next_random(&state);
}

/* Neighbours, in one request. */
static bool write_entries(const struct entry *entries, uint64_t block, unsigned count) {
  ssize_t bytes = (ssize_t)count * BLOCK_BYTES;
  if (pwrite(disk, entries, bytes, block * BLOCK_BYTES) != bytes) {
    report("a write failed", block, errno, 0);
    return false;
  }
  writes++;
  return true;
}

static bool write_entry(struct entry *entry, uint64_t block, uint64_t number) {
  fill(entry, block, number);
  return write_entries(entry, block, 1);
}

/* `number` 0: the block must read as zero. */
static void check_entry(struct entry *entry, struct entry *expected, uint64_t block, uint64_t number) {
  if (pread(disk, entry, BLOCK_BYTES, block * BLOCK_BYTES) != BLOCK_BYTES) {
    report("a read failed", block, errno, 0);
    return;
  }
  reads++;
  if (number > 0) fill(expected, block, number);
  else memset(expected, 0, BLOCK_BYTES);
  if (memcmp(entry, expected, BLOCK_BYTES) == 0) return;
  if (entry->number != number) report("another number", block, entry->number, number);
  else report("other contents under the same number", block, entry->number, number);
}

static void flush_disk(void) {
  if (fdatasync(disk) != 0) report("a flush failed", 0, errno, 0);
  flushes++;
}

static struct entry *allocate(unsigned count) {
  void *memory;
  if (posix_memalign(&memory, BLOCK_BYTES, count * BLOCK_BYTES) != 0) abort();
  return memory;
}

static void *write_for_ever(void *argument) {
  uint64_t index = (uintptr_t)argument, state = index * 0x9e3779b97f4a7c15ull + 1;
  uint64_t *ledger = calloc(settings.blocks, sizeof *ledger);
  struct entry *entries = allocate(MAX_SPAN), *expected = allocate(1);
  for (;;) {
    uint64_t at = next_random(&state) % settings.blocks, block = index * settings.blocks + at;
    unsigned step = next_random(&state) % 16;
    if (step < 11 || ledger[at] == 0) {
      unsigned span = 1 + next_random(&state) % MAX_SPAN;
      if (span > settings.blocks - at) span = settings.blocks - at;
      for (unsigned i = 0; i < span; i++) fill(&entries[i], block + i, ledger[at + i] + 1);
      if (!write_entries(entries, block, span)) continue;
      for (unsigned i = 0; i < span; i++) ledger[at + i]++;
    } else if (step < 15) check_entry(entries, expected, block, ledger[at]);
    else flush_disk();
  }
  return NULL;
}

/* Behind the blocks of the others. */
static void *trim_for_ever(void *argument) {
  (void)argument;
  uint64_t block = settings.threads * settings.blocks;
  struct entry *entry = allocate(1), *expected = allocate(1);
  for (uint64_t number = 1;; number++) {
    uint64_t range[2] = {block * BLOCK_BYTES, BLOCK_BYTES};
    if (!write_entry(entry, block, number)) continue;
    check_entry(entry, expected, block, number);
    if (ioctl(disk, BLKDISCARD, range) != 0) report("a discard failed", block, errno, 0);
    else check_entry(entry, expected, block, 0);
    trims++;
  }
  return NULL;
}

static bool parse(const char *words, char *error, unsigned error_bytes) {
  char text[128], *rest;
  snprintf(text, sizeof text, "%s", words);
  text[strcspn(text, " \n")] = 0;
  for (char *item = strtok_r(text, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
    char *value = strchr(item, ':');
    if (value != NULL) *value++ = 0;
    uint64_t *option = strcmp(item, "threads") == 0  ? &settings.threads
                       : strcmp(item, "blocks") == 0 ? &settings.blocks
                       : strcmp(item, "trim") == 0   ? &settings.trim
                                                     : NULL;
    if (option != NULL && value != NULL && parse_number(value, option)) continue;
    snprintf(error, error_bytes, "no such option or value: %s", item);
    return false;
  }
  if (settings.threads >= 1 && settings.threads <= MAX_LEDGER_THREADS && settings.blocks >= 1 &&
      settings.blocks <= MAX_LEDGER_BLOCKS && settings.trim <= 1)
    return true;
  snprintf(error, error_bytes, "threads: 1 to %d, blocks: 1 to %d, trim: 0 or 1", MAX_LEDGER_THREADS, MAX_LEDGER_BLOCKS);
  return false;
}

static bool open_disk(char *error, unsigned error_bytes) {
  for (unsigned try = 0; try < FIND_TRIES; try++) {
    for (unsigned i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++) {
      disk = open(DEVICES[i], O_RDWR | O_DIRECT);
      if (disk >= 0) return true;
    }
    usleep(FIND_PAUSE_US);
  }
  snprintf(error, error_bytes, "there is neither /dev/vda nor /dev/sda");
  return false;
}

bool ledger_start(const char *command_line, char *error, unsigned error_bytes) {
  const char *at = strstr(command_line, "godwit.disk=");
  if (at == NULL) return true;
  if (!parse(at + strlen("godwit.disk="), error, error_bytes) || !open_disk(error, error_bytes)) return false;
  uint64_t bytes = 0, needed = (settings.threads * settings.blocks + settings.trim) * BLOCK_BYTES;
  if (ioctl(disk, BLKGETSIZE64, &bytes) != 0 || bytes < needed) {
    snprintf(error, error_bytes, "the disk has %llu bytes, and %llu are needed", (unsigned long long)bytes,
             (unsigned long long)needed);
    return false;
  }
  pthread_t thread;
  for (uintptr_t i = 0; i < settings.threads; i++) pthread_create(&thread, NULL, write_for_ever, (void *)i);
  if (settings.trim) pthread_create(&thread, NULL, trim_for_ever, NULL);
  return true;
}

bool ledger_on(void) { return disk >= 0; }

void ledger_print(void) {
  printf("ledger writes=%llu reads=%llu flushes=%llu trims=%llu errors=%llu\n", (unsigned long long)writes,
         (unsigned long long)reads, (unsigned long long)flushes, (unsigned long long)trims,
         (unsigned long long)errors);
}
