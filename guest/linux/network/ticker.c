/*
 * A TCP server that never falls silent: every connection gets a numbered line every few milliseconds, whether it says
 * anything or not, and each line that it says back. A client sees what a migration does to an open connection.
 *
 * ticker PORT INTERVAL_MS. One process a connection; a connection that breaks ends its process and nothing else.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Exits when the other end has gone. */
static void say(int connection, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t written = write(connection, bytes, count);
    if (written <= 0) exit(0);
    bytes += written;
    count -= (size_t)written;
  }
}

static void serve(int connection, int interval_ms) {
  long long next = now_ms();
  for (unsigned long number = 1;; number++) {
    char line[32];
    say(connection, line, (size_t)snprintf(line, sizeof line, "tick %lu\n", number));
    next += interval_ms;
    /* What was missed while the VM stood still is not made up for. */
    if (next < now_ms()) next = now_ms();
    for (long long left; (left = next - now_ms()) > 0;) {
      struct pollfd heard = {.fd = connection, .events = POLLIN};
      if (poll(&heard, 1, (int)left) <= 0) continue;
      char bytes[512];
      ssize_t count = read(connection, bytes, sizeof bytes);
      if (count <= 0) exit(0);
      say(connection, bytes, (size_t)count);
    }
  }
}

int main(int count, char **words) {
  if (count != 3) return 2;
  signal(SIGCHLD, SIG_IGN);
  int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 8) < 0) {
    perror("ticker");
    return 1;
  }
  printf("ticker: port %s\n", words[1]);
  fflush(stdout);
  for (;;) {
    int connection = accept(server, NULL, NULL);
    if (connection < 0) continue;
    if (fork() == 0) {
      close(server);
      serve(connection, atoi(words[2]));
    }
    close(connection);
  }
}
