/*
 * The guest's part in a shared region; see sharing.h.
 *
 * Every access to the region is one that no compiler splits, repeats or moves: others work on it at the same time.
 * x86 keeps stores in order, and so does QEMU's TCG on x86; the release stores tell the compiler.
 */
#include "sharing.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "options.h"

#define PAGE_WORDS (SHARING_PAGE_BYTES / 4)
#define RING_HEADER_PAGES 2
#define ENTRY_WORDS 4
/* Words of a page of its own. */
#define OWN_MARK_WORD (2048 / 4)
#define OWN_LAST_WORD (4092 / 4)
#define MAX_REPORTS 20
/* Visible, and light enough for several guests on a small machine. */
#define DEFAULT_RATE 20000

typedef _Atomic uint32_t word;

static struct sharing_notes notes;
/* What a counter was after this member's last increment: others have only added to it since. */
static uint32_t seen[MAX_SHARED_COUNTERS];
static uint64_t increments;
static _Atomic uint64_t step_rate = DEFAULT_RATE;
static word *region;
static bool on;

static const char *const ERRORS[] = {
    "",
    "the counter went back",
    "produced is not what the writer wrote",
    "the ring holds more entries than fit",
    "the entry is not the next one",
    "consumed is not what the reader wrote",
    "an own page is not what was written last",
};

static uint32_t get(word *at) { return atomic_load_explicit(at, memory_order_acquire); }
static void put(word *at, uint32_t value) { atomic_store_explicit(at, value, memory_order_release); }

/* The notes are read from outside, where only their order counts. */
static void note(uint32_t *at, uint32_t value) {
  atomic_signal_fence(memory_order_seq_cst);
  *(volatile uint32_t *)at = value;
  atomic_signal_fence(memory_order_seq_cst);
}

static void report(enum sharing_error kind, uint32_t page, uint32_t found, uint32_t expected) {
  if (notes.errors == 0) {
    note(&notes.error_page, page);
    note(&notes.error_found, found);
    note(&notes.error_expected, expected);
    note(&notes.error_kind, kind);
  }
  note(&notes.errors, notes.errors + 1);
  if (notes.errors <= MAX_REPORTS)
    printf("shared memory INCOHERENT page %u: %s, found %u, expected %u\n", page, ERRORS[kind], found, expected);
}

static uint32_t mix(uint32_t value) {
  value ^= value << 13;
  value ^= value >> 17;
  return value ^ value << 5;
}

static uint32_t salt_of(uint32_t writer) { return (writer + 1) * 0x9e3779b1u; }
static word *page_at(uint32_t page) { return region + (uint64_t)page * PAGE_WORDS; }
static uint32_t ring_page(uint32_t writer) { return notes.counters + writer * (RING_HEADER_PAGES + notes.ring_pages); }
static uint32_t ring_entries(void) { return notes.ring_pages * PAGE_WORDS / ENTRY_WORDS; }
static uint32_t used_pages(void) { return ring_page(notes.members) + notes.members * notes.own_pages; }

static word *entry_at(uint32_t ring, uint32_t sequence) {
  return page_at(ring + RING_HEADER_PAGES) + sequence % ring_entries() * ENTRY_WORDS;
}

static void increment(uint32_t page) {
  note(&notes.pending, page + 1);
  uint32_t old = atomic_fetch_add(page_at(page), 1);
  note(&notes.counts[page], notes.counts[page] + 1);
  note(&notes.pending, 0);
  if ((int32_t)(old - seen[page]) < 0) report(COUNTER_BACK, page, old, seen[page]);
  seen[page] = old + 1;
  increments++;
}

static void write_entry(void) {
  uint32_t ring = ring_page(notes.member), sequence = notes.produced;
  word *produced = page_at(ring), *consumed = page_at(ring + 1);
  if (get(produced) != sequence) report(NOT_PRODUCED, ring, get(produced), sequence);
  uint32_t waiting = sequence - get(consumed);
  if (waiting > ring_entries()) report(RING_OVERRUN, ring + 1, waiting, ring_entries());
  if (waiting >= ring_entries()) return;
  word *entry = entry_at(ring, sequence);
  put(&entry[0], sequence);
  put(&entry[1], mix(sequence ^ salt_of(notes.member)));
  put(&entry[2], ~sequence);
  put(&entry[3], notes.member);
  put(produced, sequence + 1);
  note(&notes.produced, sequence + 1);
}

static void read_entry(void) {
  uint32_t writer = (notes.member + notes.members - 1) % notes.members;
  uint32_t ring = ring_page(writer), sequence = notes.consumed;
  word *produced = page_at(ring), *consumed = page_at(ring + 1);
  if (get(consumed) != sequence) report(NOT_CONSUMED, ring + 1, get(consumed), sequence);
  uint32_t waiting = get(produced) - sequence;
  if (waiting == 0) return;
  if (waiting > ring_entries()) {
    report(RING_OVERRUN, ring, waiting, ring_entries());
    return;
  }
  word *entry = entry_at(ring, sequence);
  if (get(&entry[0]) != sequence || get(&entry[1]) != mix(sequence ^ salt_of(writer)) || get(&entry[2]) != ~sequence ||
      get(&entry[3]) != writer)
    report(WRONG_ENTRY, (uint32_t)((entry - region) / PAGE_WORDS), get(&entry[0]), sequence);
  put(consumed, sequence + 1);
  note(&notes.consumed, sequence + 1);
}

static void rewrite_own_page(void) {
  uint32_t page = ring_page(notes.members) + notes.member * notes.own_pages + notes.own_writes % notes.own_pages;
  uint32_t writes = notes.own_writes / notes.own_pages;
  word *words = page_at(page);
  if (get(&words[0]) != writes) report(WRONG_OWN_PAGE, page, get(&words[0]), writes);
  if (get(&words[OWN_LAST_WORD]) != writes) report(WRONG_OWN_PAGE, page, get(&words[OWN_LAST_WORD]), writes);
  put(&words[0], writes + 1);
  put(&words[OWN_MARK_WORD], page + 1);
  put(&words[OWN_LAST_WORD], writes + 1);
  note(&notes.own_writes, notes.own_writes + 1);
}

static void *work_for_ever(void *argument) {
  struct pace pace = {.last_ns = clock_ns()};
  /* Members begin at different counters, or they would go through them in step. */
  uint32_t counter = notes.member * notes.counters / notes.members;
  (void)argument;
  for (;;) {
    for (uint64_t left = pace_due(&pace, step_rate); left > 0; left--) {
      increment(counter);
      counter = (counter + 1) % notes.counters;
      write_entry();
      read_entry();
      rewrite_own_page();
    }
  }
  return NULL;
}

static bool is_power_of_two(uint64_t value) { return value > 0 && (value & (value - 1)) == 0; }

static bool set(const char *name, const char *value) {
  uint64_t number;
  if (strcmp(name, "rate") == 0) {
    if (!parse_rate(value, &number)) return false;
    step_rate = number;
    return true;
  }
  if (!parse_number(value, &number) || number > MAX_SHARED_COUNTERS) return false;
  if (strcmp(name, "member") == 0) notes.member = number;
  else if (strcmp(name, "members") == 0 && number > 0 && number <= MAX_MEMBERS) notes.members = number;
  else if (strcmp(name, "counters") == 0 && number > 0) notes.counters = number;
  else if (strcmp(name, "ring") == 0 && is_power_of_two(number)) notes.ring_pages = number;
  else if (strcmp(name, "own") == 0 && is_power_of_two(number)) notes.own_pages = number;
  else return false;
  return true;
}

static bool parse(const char *options_text, char *error, unsigned error_bytes) {
  char text[256], *rest;
  snprintf(text, sizeof text, "%s", options_text);
  text[strcspn(text, " \n")] = 0;
  notes.members = 1;
  notes.counters = 64;
  notes.ring_pages = 4;
  notes.own_pages = 16;
  for (char *item = strtok_r(text, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
    char *value = strchr(item, ':');
    if (value != NULL) *value++ = 0;
    if (value != NULL && set(item, value)) continue;
    snprintf(error, error_bytes, "no such option or value: %s:%s", item, value == NULL ? "" : value);
    return false;
  }
  if (notes.member < notes.members) return true;
  snprintf(error, error_bytes, "there is no member %u of %u", notes.member, notes.members);
  return false;
}

static bool file_says(const char *device, const char *name, const char *text) {
  char path[512], content[32] = "";
  snprintf(path, sizeof path, "%s/%s", device, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) return false;
  bool same = fgets(content, sizeof content, file) != NULL && strncmp(content, text, strlen(text)) == 0;
  fclose(file);
  return same;
}

/* The ivshmem device with the lowest address: device 1110 of vendor 1af4. */
static bool find_device(char *path, unsigned path_bytes) {
  static const char DEVICES[] = "/sys/bus/pci/devices";
  char found[64] = "", candidate[512];
  DIR *directory = opendir(DEVICES);
  if (directory == NULL) return false;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    snprintf(candidate, sizeof candidate, "%s/%s", DEVICES, entry->d_name);
    if (!file_says(candidate, "vendor", "0x1af4") || !file_says(candidate, "device", "0x1110")) continue;
    if (found[0] == 0 || strcmp(entry->d_name, found) < 0) snprintf(found, sizeof found, "%.60s", entry->d_name);
  }
  closedir(directory);
  snprintf(path, path_bytes, "%s/%s", DEVICES, found);
  return found[0] != 0;
}

/* The kernel has no driver for it: BAR 2 is a file in sysfs. */
static bool map_region(char *error, unsigned error_bytes) {
  char device[256], path[300];
  if (!find_device(device, sizeof device)) {
    snprintf(error, error_bytes, "this machine has no ivshmem device");
    return false;
  }
  snprintf(path, sizeof path, "%s/enable", device);
  int enable = open(path, O_WRONLY);
  if (enable < 0 || write(enable, "1", 1) != 1) printf("sharing: cannot enable %s\n", device);
  if (enable >= 0) close(enable);
  snprintf(path, sizeof path, "%s/resource2", device);
  struct stat status;
  int file = open(path, O_RDWR);
  uint64_t needed = (uint64_t)used_pages() * SHARING_PAGE_BYTES;
  if (file < 0 || fstat(file, &status) != 0) {
    snprintf(error, error_bytes, "cannot open %s", path);
    return false;
  }
  if ((uint64_t)status.st_size < needed) {
    snprintf(error, error_bytes, "the workload needs %llu KiB, the region has %llu", (unsigned long long)needed >> 10,
             (unsigned long long)status.st_size >> 10);
    return false;
  }
  void *memory = mmap(NULL, needed, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) {
    snprintf(error, error_bytes, "cannot map %s", path);
    return false;
  }
  region = memory;
  printf("sharing: member %u of %u, %llu of %llu KiB of %s\n", notes.member, notes.members,
         (unsigned long long)needed >> 10, (unsigned long long)status.st_size >> 10, strrchr(device, '/') + 1);
  return true;
}

bool sharing_start(const char *command_line, char *error, unsigned error_bytes) {
  const char *at = strstr(command_line, "godwit.sharing=");
  if (at == NULL) return true;
  if (!parse(at + strlen("godwit.sharing="), error, error_bytes) || !map_region(error, error_bytes)) return false;
  pthread_t thread;
  memcpy(notes.magic, SHARING_MAGIC, sizeof notes.magic);
  on = true;
  pthread_create(&thread, NULL, work_for_ever, NULL);
  return true;
}

bool sharing_on(void) { return on; }
void sharing_set_rate(uint64_t rate) { step_rate = rate; }

void sharing_print(void) {
  printf("sharing increments=%llu produced=%u consumed=%u own=%u errors=%u\n", (unsigned long long)increments,
         notes.produced, notes.consumed, notes.own_writes, notes.errors);
}
