/*
 * Parsing of the workload's options; see options.h.
 */
#include "options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const MODES[] = {"words", "page", "rewrite"};

/* The demo's load: visible in every figure, light enough for two guests on a small machine. */
static const struct options DEFAULTS = {
    .fill_pages = (48 << 20) / PAGE_BYTES,
    .working_pages = (8 << 20) / PAGE_BYTES,
    .rate = 500,
    .check_rate = 8000,
    .seed = 1,
    .threads = 1,
    .compressible_percent = 50,
    .mode = WRITE_PAGE,
};

const char *mode_name(enum write_mode mode) { return MODES[mode]; }

bool parse_number(const char *text, uint64_t *value) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  *value = strtoull(text, &end, 10);
  return *end == 0;
}

/* "200M", "1G", "64K" in pages. */
static bool parse_pages(const char *text, uint64_t *pages) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  uint64_t value = strtoull(text, &end, 10);
  unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (shift != 0) end++;
  if (*end != 0 || value > (UINT64_MAX >> 1 >> shift)) return false;
  *pages = (value << shift) / PAGE_BYTES;
  return true;
}

bool parse_rate(const char *text, uint64_t *rate) {
  if (strcmp(text, "max") == 0) {
    *rate = RATE_MAX;
    return true;
  }
  return parse_number(text, rate);
}

static bool parse_mode(const char *text, enum write_mode *mode) {
  for (unsigned i = 0; i < 3; i++) {
    if (strcmp(text, MODES[i]) != 0) continue;
    *mode = (enum write_mode)i;
    return true;
  }
  return false;
}

static bool set(struct options *options, const char *name, const char *value) {
  uint64_t number;
  if (strcmp(name, "fill") == 0) return parse_pages(value, &options->fill_pages) && options->fill_pages > 0;
  if (strcmp(name, "ws") == 0) return parse_pages(value, &options->working_pages);
  if (strcmp(name, "rate") == 0) return parse_rate(value, &options->rate);
  if (strcmp(name, "check") == 0) {
    if (strcmp(value, "off") == 0) value = "0";
    return parse_rate(value, &options->check_rate);
  }
  if (strcmp(name, "seed") == 0) return parse_number(value, &options->seed);
  if (strcmp(name, "mode") == 0) return parse_mode(value, &options->mode);
  if (strcmp(name, "order") == 0) {
    options->random_order = strcmp(value, "random") == 0;
    return options->random_order || strcmp(value, "sequential") == 0;
  }
  if (!parse_number(value, &number)) return false;
  if (strcmp(name, "threads") == 0) return (options->threads = number) >= 1 && number <= MAX_THREADS;
  if (strcmp(name, "compressible") == 0) return (options->compressible_percent = number) <= 100 && number <= 100;
  return false;
}

bool options_set(struct options *options, const char *name, const char *value, char *error, unsigned error_bytes) {
  struct options changed = *options;
  if (!set(&changed, name, value)) {
    snprintf(error, error_bytes, "no such option or value: %s:%s", name, value);
    return false;
  }
  *options = changed;
  return true;
}

bool options_parse(struct options *options, const char *command_line, char *error, unsigned error_bytes) {
  *options = DEFAULTS;
  const char *at = strstr(command_line, "godwit.workload=");
  if (at == NULL) return true;
  char text[512];
  snprintf(text, sizeof text, "%s", at + strlen("godwit.workload="));
  text[strcspn(text, " \n")] = 0;
  bool fill_given = false;
  char *rest;
  for (char *item = strtok_r(text, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
    char *value = strchr(item, ':');
    if (value != NULL) *value++ = 0;
    if (value == NULL && strcmp(item, "check") == 0) continue; /* the default checks */
    if (!options_set(options, item, value == NULL ? "" : value, error, error_bytes)) return false;
    if (strcmp(item, "fill") == 0) fill_given = true;
  }
  if (options->working_pages > options->fill_pages) {
    if (fill_given) {
      snprintf(error, error_bytes, "ws must not be larger than fill, of which it is a part");
      return false;
    }
    options->fill_pages = options->working_pages;
  }
  return true;
}
