/*
 * The sample guest's workload: writes memory that checks itself, says once a second how it is, answers on the console.
 *
 * Owns: the console. Must hold: every line is written whole; the heartbeat's `key=value` form and the words
 * `memory intact` and `memory CORRUPT` are read by tests, the demo and the bench (guest/linux/console.ts).
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "ledger.h"
#include "memory.h"
#include "sharing.h"

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void print_state(const char *word) {
  printf("%s uptime=%.3f wall=%.3f work=%llu checked=%llu errors=%llu", word, seconds(CLOCK_BOOTTIME),
         seconds(CLOCK_REALTIME), (unsigned long long)counters.written, (unsigned long long)counters.verified,
         (unsigned long long)counters.corrupt);
}

static void print_rate(const char *name, uint64_t rate) {
  if (rate == RATE_MAX) printf(" %s=max", name);
  else printf(" %s=%llu", name, (unsigned long long)rate);
}

static void print_stats(void) {
  flockfile(stdout);
  print_state("stats");
  printf(" pages=%llu ws=%llu threads=%u mode=%s order=%s", (unsigned long long)options.fill_pages,
         (unsigned long long)options.working_pages, options.threads, mode_name(options.mode),
         options.random_order ? "random" : "sequential");
  print_rate("rate", options.rate);
  print_rate("check", options.check_rate);
  printf("\n");
  funlockfile(stdout);
}

static void print_date(void) {
  long long rtc = 0;
  FILE *file = fopen("/sys/class/rtc/rtc0/since_epoch", "r");
  if (file != NULL) {
    if (fscanf(file, "%lld", &rtc) != 1) rtc = 0;
    fclose(file);
  }
  printf("date uptime=%.3f wall=%.3f rtc=%lld\n", seconds(CLOCK_BOOTTIME), seconds(CLOCK_REALTIME), rtc);
}

static void check_now(void) {
  double start = seconds(CLOCK_MONOTONIC);
  unsigned long long bad = memory_check_all();
  double ms = (seconds(CLOCK_MONOTONIC) - start) * 1000;
  if (bad == 0) printf("check: memory intact, %llu pages in %.0f ms\n", (unsigned long long)options.fill_pages, ms);
  else printf("check: memory CORRUPT, %llu of %llu pages\n", bad, (unsigned long long)options.fill_pages);
}

/* Sizes and the number of threads are for the command line: memory and threads exist by now. */
static void set_option(const char *name, const char *value) {
  static const char *const CHANGEABLE[] = {"rate", "mode", "order", "check", "ws"};
  char error[160];
  for (unsigned i = 0; i < sizeof CHANGEABLE / sizeof *CHANGEABLE; i++) {
    if (strcmp(name, CHANGEABLE[i]) != 0) continue;
    struct options changed = options;
    if (!options_set(&changed, name, value, error, sizeof error)) printf("error: %s\n", error);
    else if (changed.working_pages > options.fill_pages) printf("error: ws must not be larger than fill\n");
    else {
      options = changed;
      printf("set %s %s\n", name, value);
    }
    return;
  }
  printf("error: set takes rate, mode, order, check or ws\n");
}

/* `rate` may be missing: then it only tells. */
static void obey_sharing(const char *rate) {
  uint64_t steps;
  if (!sharing_on()) printf("error: there is no godwit.sharing on the kernel command line\n");
  else if (rate == NULL) sharing_print();
  else if (!parse_rate(rate, &steps)) printf("error: no such rate: %s\n", rate);
  else {
    sharing_set_rate(steps);
    printf("sharing rate %s\n", rate);
  }
}

/* False when the guest shall go down. */
static bool obey(char *line) {
  char *rest, *word = strtok_r(line, " \r\n", &rest);
  if (word == NULL) return true;
  if (strcmp(word, "stats") == 0) print_stats();
  else if (strcmp(word, "check") == 0) check_now();
  else if (strcmp(word, "date") == 0) print_date();
  else if (strcmp(word, "sharing") == 0) obey_sharing(strtok_r(NULL, " \r\n", &rest));
  else if (strcmp(word, "poweroff") == 0) return false;
  else if (strcmp(word, "run") == 0) {
    int status = system(rest);
    printf("run: status %d\n", status);
  } else if (strcmp(word, "set") == 0) {
    char *name = strtok_r(NULL, " \r\n", &rest), *value = strtok_r(NULL, " \r\n", &rest);
    set_option(name == NULL ? "" : name, value == NULL ? "" : value);
  } else printf("error: commands are stats, check, date, set NAME VALUE, sharing [RATE], run COMMAND, poweroff\n");
  return true;
}

/* Obeys every whole line that has come; the terminal hands out whole lines. False when the guest shall go down. */
static bool read_console(void) {
  char line[512];
  ssize_t bytes = read(STDIN_FILENO, line, sizeof line - 1);
  if (bytes <= 0) {
    usleep(100000); /* a console without input is readable for ever */
    return true;
  }
  line[bytes] = 0;
  return obey(line);
}

static void calm_terminal(void) {
  struct termios settings;
  if (tcgetattr(STDIN_FILENO, &settings) != 0) return;
  settings.c_lflag &= ~(tcflag_t)ECHO;
  tcsetattr(STDIN_FILENO, TCSANOW, &settings);
}

static char command_line[2048];

static bool read_options(void) {
  char error[160];
  FILE *file = fopen("/proc/cmdline", "r");
  if (file != NULL) {
    if (fgets(command_line, sizeof command_line, file) == NULL) command_line[0] = 0;
    fclose(file);
  }
  if (options_parse(&options, command_line, error, sizeof error)) return true;
  printf("error: godwit.workload: %s\n", error);
  return false;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  calm_terminal();
  if (!read_options()) return 2;
  if (!memory_fill()) {
    printf("error: godwit.workload: fill needs %llu MiB, more than this machine has free\n",
           (unsigned long long)(options.fill_pages * PAGE_BYTES >> 20));
    return 1;
  }
  print_stats();
  char error[160];
  if (!sharing_start(command_line, error, sizeof error)) {
    printf("error: godwit.sharing: %s\n", error);
    return 2;
  }
  if (!ledger_start(command_line, error, sizeof error)) {
    printf("error: godwit.disk: %s\n", error);
    return 2;
  }
  memory_start();
  double next = seconds(CLOCK_MONOTONIC);
  for (unsigned long long beat = 1;; ) {
    double now = seconds(CLOCK_MONOTONIC);
    if (now >= next) {
      char word[40];
      snprintf(word, sizeof word, "heartbeat %llu", beat++);
      flockfile(stdout);
      print_state(word);
      printf("\n");
      if (sharing_on()) sharing_print();
      if (ledger_on()) ledger_print();
      funlockfile(stdout);
      next = next + 1 > now ? next + 1 : now + 1;
      continue;
    }
    struct pollfd console = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&console, 1, (int)((next - now) * 1000) + 1) > 0 && !read_console()) return 0;
  }
}
