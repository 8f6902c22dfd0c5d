// A process that notices whatever becomes of its main thread: registers, flags, the red zone, floating point, signals, its signal
// mask, and system calls that are interrupted and begin again. It ends with a word on standard error when something is not as it
// must be. Word 0 of the shared file counts its rounds, word 1 the first real-time signals that it has handled, and word 2 the
// SIGUSR2, which it lets through in one call only: one that comes must end it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REQUIRE(condition)                                     \
  do {                                                         \
    if (!(condition)) {                                        \
      fprintf(stderr, "%s (errno %d)\n", #condition, errno);   \
      exit(1);                                                 \
    }                                                          \
  } while (0)

static volatile uint64_t *words;

static void count_signal(int number) {
  words[number == SIGUSR2 ? 2 : 1]++;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

// Known values in every register, the carry flag, two vector registers and the red zone, while rcx counts down; the sum of all
// differences is what it returns.
__attribute__((naked, noinline)) static uint64_t spin(uint64_t rounds __attribute__((unused))) {
  __asm__(
      "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
      "mov %rdi, %rcx\n"
      "mov $0x1001, %rax; mov $0x1002, %rbx; mov $0x1003, %rdx; mov $0x1004, %rsi; mov $0x1005, %rdi; mov $0x1006, %rbp\n"
      "mov $0x1007, %r8; mov $0x1008, %r9; mov $0x1009, %r10; mov $0x100a, %r11; mov $0x100b, %r12; mov $0x100c, %r13\n"
      "mov $0x100d, %r14; mov %rsp, %r15\n"
      "movq %rax, %xmm0; movq %rbx, %xmm15\n"
      "mov %rax, -8(%rsp); mov %rbx, -64(%rsp); mov %rdx, -128(%rsp)\n"
      "stc\n"
      "1: dec %rcx; jnz 1b\n"
      "setnc %cl; movzx %cl, %ecx\n"
      "sub %rsp, %r15; or %r15, %rcx\n"
      "mov -8(%rsp), %r15; xor %rax, %r15; or %r15, %rcx\n"
      "mov -64(%rsp), %r15; xor %rbx, %r15; or %r15, %rcx\n"
      "mov -128(%rsp), %r15; xor %rdx, %r15; or %r15, %rcx\n"
      "movq %xmm0, %r15; xor %rax, %r15; or %r15, %rcx\n"
      "movq %xmm15, %r15; xor %rbx, %r15; or %r15, %rcx\n"
      "xor $0x1001, %rax; or %rax, %rcx; xor $0x1002, %rbx; or %rbx, %rcx; xor $0x1003, %rdx; or %rdx, %rcx\n"
      "xor $0x1004, %rsi; or %rsi, %rcx; xor $0x1005, %rdi; or %rdi, %rcx; xor $0x1006, %rbp; or %rbp, %rcx\n"
      "xor $0x1007, %r8; or %r8, %rcx; xor $0x1008, %r9; or %r9, %rcx; xor $0x1009, %r10; or %r10, %rcx\n"
      "xor $0x100a, %r11; or %r11, %rcx; xor $0x100b, %r12; or %r12, %rcx; xor $0x100c, %r13; or %r13, %rcx\n"
      "xor $0x100d, %r14; or %r14, %rcx\n"
      "mov %rcx, %rax\n"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
      "ret\n");
}

static double sum(void) {
  double total = 0;
  for (int i = 1; i < 20000; i++) total += 1.0 / i;
  return total;
}

int main(int argc, char **argv) {
  int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
  words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(words != MAP_FAILED);
  struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
  sigaction(SIGRTMIN, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  sigset_t mask, same;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  sigset_t none;
  sigemptyset(&none);
  double expected = sum();
  struct timespec pause = {.tv_nsec = 300000};
  uint64_t handled, let_through;
#define AT_MOST_BY_A_SIGNAL(error) ((error) == EINTR && words[1] != handled)
  int word = 1;
  for (;; words[0]++) {
    REQUIRE(spin(1000000) == 0);
    REQUIRE(sum() == expected);
    handled = words[1];
    int64_t start = now_ns();
    REQUIRE(nanosleep(&pause, NULL) == 0 || AT_MOST_BY_A_SIGNAL(errno));
    // With a signal mask of its own, and without: two ways through the kernel.
    struct timespec timeout = pause;
    let_through = words[2];
    if (ppoll(NULL, 0, &timeout, &none) == 0) {
      REQUIRE(words[2] == let_through);
    } else {
      REQUIRE(errno == EINTR && (words[2] != let_through || words[1] != handled));
    }
    timeout = pause;
    REQUIRE(ppoll(NULL, 0, &timeout, NULL) == 0 || AT_MOST_BY_A_SIGNAL(errno));
    REQUIRE(poll(NULL, 0, 1) == 0 || AT_MOST_BY_A_SIGNAL(errno));
    REQUIRE(syscall(SYS_futex, &word, FUTEX_WAIT, 1, &pause, NULL, 0) == -1 && (errno == ETIMEDOUT || AT_MOST_BY_A_SIGNAL(errno)));
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    REQUIRE(error == 0 || AT_MOST_BY_A_SIGNAL(error));
    REQUIRE(words[1] != handled || words[2] != let_through || now_ns() - start >= 5 * pause.tv_nsec + 1000000);
    REQUIRE(sigprocmask(SIG_SETMASK, NULL, &same) == 0 && sigismember(&same, SIGUSR2) == 1);
    for (int number = 1; number <= SIGRTMAX; number++) REQUIRE(sigismember(&same, number) == (number == SIGUSR2));
  }
}
