// A stand-in for a VM that shares memory: adds to words of random pages of a shared file, and checks what it finds there.
// Usage: sharer SHARED OWN. It goes into the background (no child of who starts it), prints "PID ADDRESS", and is told all else
// by OWN, a file of 64-bit words that it keeps mapped and that outlives it:
//   0 pause: 1 = touch nothing   1 paused: 1 = it does not   2 accesses so far   3 values found that are too small
//   4 state of its random numbers   5 microseconds between accesses   6 the page it is at, plus 1   7 only this page, plus 1
//   8 + 2 * PAGE: the largest value that it has seen there    9 + 2 * PAGE: how often it has added 1 there
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_OF_PAGE 512

static volatile uint64_t *map(const char *path, long *bytes) {
  struct stat status;
  int fd = open(path, O_RDWR);
  if (fd < 0 || fstat(fd, &status) < 0) return NULL;
  *bytes = status.st_size;
  void *memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return memory == MAP_FAILED ? NULL : memory;
}

static uint64_t next(volatile uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

int main(int argc, char **argv) {
  long bytes = 0, own_bytes = 0;
  if (argc != 3 || fork() != 0) return argc != 3;
  setsid();
  // Should whoever started it die.
  alarm(120);
  volatile uint64_t *memory = map(argv[1], &bytes), *own = map(argv[2], &own_bytes);
  if (memory == NULL || own == NULL) return 1;
  printf("%d %lx\n", getpid(), (unsigned long)memory);
  fflush(stdout);
  long pages = bytes / 4096;
  for (;;) {
    if (own[0]) {
      own[1] = 1;
      usleep(200);
      continue;
    }
    own[1] = 0;
    uint64_t random = next(&own[4]);
    long page = own[7] ? (long)own[7] - 1 : (long)(random >> 8) % pages;
    volatile uint64_t *seen = &own[8 + 2 * page], *added = &own[9 + 2 * page];
    // Not always the same word of the page, and always the same one of each page.
    volatile uint64_t *word = &memory[page * WORDS_OF_PAGE + page % WORDS_OF_PAGE];
    own[6] = page + 1;
    uint64_t value;
    if (random % 4 == 0) {
      value = *word;
    } else {
      value = __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
      *added += 1;
    }
    if (value < *seen) own[3] += 1;
    *seen = value;
    own[6] = 0;
    own[2] += 1;
    if (own[5]) usleep(own[5]);
  }
}
