/* The application of the experiment: its effects are known. It says that it is there, and when it is told
   to it tries, in a child, to be root again and to leave its root directory. It answers over a socket that
   has no place in the file system, so that it needs nothing where it runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int line;

static void say(const char *text) { send(line, text, strlen(text), MSG_NOSIGNAL); }

static int same(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

/* Up from here as far as it goes: true if that is not the root we were given. */
static int outside(const struct stat *top) {
    struct stat here, up;
    for (int i = 0; i < 64; i++) {
        if (stat(".", &here) || stat("..", &up)) return 0;
        if (same(&here, &up)) return !same(&here, top);
        if (chdir("..")) return 0;
    }
    return 0;
}

static int escaped(const struct stat *top) {
    if (outside(top)) return 1;
    for (int fd = 3; fd < 256; fd++)
        if (fchdir(fd) == 0 && outside(top)) return 1;
    /* The classic: the root below the working directory, and up. */
    if (chdir("/mnt")) return 0;
    mkdir("way-out", 0700);
    if (chroot("way-out") == 0 && outside(top)) return 1;
    return 0;
}

static void attempt(void) {
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return;
    }
    struct stat top;
    char text[128];
    int root = 0, group = 0, capable = 0, out = 0, closed = stat("nothing-here", &top) && errno == EACCES;
    gid_t zero = 0;
    if (stat("/", &top)) memset(&top, 0, sizeof top);
    out |= escaped(&top);
    group |= setgroups(1, &zero) == 0;
    group |= syscall(SYS_setresgid, -1, 0, -1) == 0;
    group |= syscall(SYS_setresgid, 0, -1, -1) == 0;
    group |= setgid(0) == 0;
    setresuid(-1, 0, -1);
    setresuid(0, -1, -1);
    setreuid(0, 0);
    setuid(0);
    root = geteuid() == 0;
    struct { unsigned version; int pid; } head = { 0x20080522, 0 };
    struct { unsigned effective, permitted, inheritable; } all[2] = { { 1u << 18, 1u << 18, 0 }, { 0, 0, 0 } };
    capable = syscall(SYS_capset, &head, all) == 0;
    if (root || capable) out |= escaped(&top);
    snprintf(text, sizeof text, "tried root=%d group=%d capable=%d escaped=%d closed=%d\n", root, group, capable, out, closed);
    say(text);
    _exit(0);
}

int main(int argc, char **argv) {
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *name = argc > 1 ? argv[1] : "rsd-orders";
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR2);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC);
    line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
    if (write(1, "the probe speaks\n", 17) < 0) { /* there may be nobody to hear it */ }
    if (connect(line, (struct sockaddr *)&to, sizeof to.sun_family + 1 + strlen(name))) return 70;
    say("hello\n");
    struct pollfd both[2] = { { .fd = line, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    for (;;) {
        if (poll(both, 2, -1) < 0) continue;
        if (both[0].revents) {
            char text[64];
            if (recv(line, text, sizeof text, 0) <= 0) for (;;) pause();
            attempt();
        }
        if (both[1].revents) {
            struct signalfd_siginfo info;
            if (read(signals, &info, sizeof info) > 0) say("usr2\n");
        }
    }
}
