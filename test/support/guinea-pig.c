// A process for kernel tests to experiment on: maps a shared file and touches its pages when told to. It is a child of
// another one that only waits for its end: a parent that waits as libuv does would take a tracer's stops for that.
// Says first:            its process id, and where the file is mapped
// Commands, one a line:  w PAGE BYTE   write the first byte of the page; answers "ok"
//                        e             write every second page; answers "ok"
//                        r PAGE        read it; answers the value
//                        t PAGE        read it on a thread of its own; answers "started", later "PAGE=VALUE"
//                        s             answers how often the first real-time signal was handled
//                        v             unmap the vDSO; answers "ok"
//                        f MS          cannot be stopped for so long (a child of vfork() sleeps); answers "stuck", then "ok"
//                        u             open a /dev/userfaultfd; answers its descriptor, or -1
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned char *memory;
static volatile sig_atomic_t signals;

static void count_signal(int number) {
  (void)number;
  signals++;
}

static void *read_later(void *argument) {
  long page = (long)argument;
  unsigned value = memory[page * 4096];
  printf("%ld=%u\n", page, value);
  return NULL;
}

int main(int argc, char **argv) {
  pid_t child = fork();
  if (child != 0) return child < 0 || waitpid(child, NULL, 0) < 0;
  struct stat status;
  int fd = open(argv[1], O_RDWR);
  if (argc != 2 || fd < 0 || fstat(fd, &status) < 0) return 1;
  memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return 1;
  struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
  sigaction(SIGRTMIN, &action, NULL);
  setlinebuf(stdout);
  printf("%d %lx\n", getpid(), (unsigned long)memory);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    long page = 0;
    unsigned value = 0;
    sscanf(line + 1, "%ld %u", &page, &value);
    if (line[0] == 'w') {
      memory[page * 4096] = value;
      puts("ok");
    } else if (line[0] == 'e') {
      for (long at = 0; at < status.st_size; at += 2 * 4096) memory[at] = 1;
      puts("ok");
    } else if (line[0] == 'r') {
      printf("%u\n", memory[page * 4096]);
    } else if (line[0] == 't') {
      pthread_t thread;
      puts("started");
      pthread_create(&thread, NULL, read_later, (void *)page);
      pthread_detach(thread);
    } else if (line[0] == 's') {
      printf("%d\n", (int)signals);
    } else if (line[0] == 'v') {
      // It goes as a whole or not at all, and its size differs between kernels.
      size_t bytes = 4096;
      while (bytes <= 65536 && munmap((void *)getauxval(AT_SYSINFO_EHDR), bytes) != 0) bytes += 4096;
      puts(bytes <= 65536 ? "ok" : "failed");
    } else if (line[0] == 'f') {
      puts("stuck");
      if (vfork() == 0) {
        usleep(page * 1000);
        _exit(0);
      }
      puts("ok");
    } else if (line[0] == 'u') {
      printf("%d\n", open("/dev/userfaultfd", O_RDWR));
    }
  }
  return 0;
}
