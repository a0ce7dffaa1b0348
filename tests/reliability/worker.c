/* A daemon for the soak. Each connection to the socket it was handed is answered with its process id; it then
   writes a line, and leaves a grandchild that ends at once, for its keeper to bury. HUP makes it write a line. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void hup(int number) { (void)number; asked = 1; }

static void orphan(void) {
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) _exit(0);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
}

int main(void) {
    const char *given = getenv("LISTEN_FDS");
    if (!given || strcmp(given, "1") != 0) {
        fputs("one socket was promised\n", stderr);
        return 1;
    }
    struct sigaction action = {.sa_handler = hup};
    sigaction(SIGHUP, &action, NULL);
    char line[128];
    for (unsigned long n = 0;;) {
        int one = accept4(3, NULL, NULL, SOCK_CLOEXEC);
        if (asked) {
            asked = 0;
            if (write(1, "reload\n", 7) < 0) return 3;
        }
        if (one < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return 2;
        }
        int length = snprintf(line, sizeof line, "%d\n", getpid());
        send(one, line, length, MSG_NOSIGNAL);
        close(one);
        length = snprintf(line, sizeof line, "answer %lu of process %d\n", ++n, getpid());
        if (write(1, line, length) < 0) return 3;
        orphan();
    }
}
