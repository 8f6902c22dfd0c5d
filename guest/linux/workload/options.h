/*
 * What the workload shall do, as the kernel command line says it:
 *   godwit.workload=fill:200M,ws:64M,rate:4000,mode:page,order:random,check:20000,threads:2,compressible:50,seed:7
 *
 * Owns: names, defaults and limits of the options. README.md in the folder above explains each.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "pace.h"
#include "page.h"

#define MAX_THREADS 16

struct options {
  uint64_t fill_pages;    /* all pages of the workload */
  uint64_t working_pages; /* the first of them, which are rewritten */
  uint64_t rate;          /* pages a second */
  uint64_t check_rate; /* 0: only on request */
  uint64_t seed;
  unsigned threads;
  unsigned compressible_percent;
  enum write_mode mode;
  bool random_order;
};

/* Reads the options out of a kernel command line. False, with the reason in `error`, when one is wrong. */
bool options_parse(struct options *options, const char *command_line, char *error, unsigned error_bytes);
/* One option by its name, as `set` on the console does. */
bool options_set(struct options *options, const char *name, const char *value, char *error, unsigned error_bytes);
const char *mode_name(enum write_mode mode);
/* A whole number, all of the text. */
bool parse_number(const char *text, uint64_t *value);
/* The same, or "max". */
bool parse_rate(const char *text, uint64_t *rate);
