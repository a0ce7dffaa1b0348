/* Starts one starter once, measures it, and clears away whatever it left. Static and small, because
 * the peak memory that the kernel reports for a child begins at the size of who forked it.
 *
 *     launch STAMP-FILE PIDFILE OUTPUT STARTER [ARG...]
 *
 * Times are CLOCK_MONOTONIC in ns: t0 is read in the child just before it executes STARTER, `exit`
 * when its end was collected. Being the subreaper, launch is the parent of every process that the
 * starter orphans; it signals those, and no others, by process id. OUTPUT takes what STARTER prints.
 *
 *     gcc -O2 -static launch.c
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STARTER_S = 20, STAMP_MS = 2000, END_MS = 3000 };

static pid_t starter;
static volatile sig_atomic_t timed_out;

static void on_alarm(int signal) {
    (void)signal;
    timed_out = 1;
    kill(starter, SIGKILL);
}

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void rest_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void die(const char *what) {
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    exit(3);
}

static int slurp(const char *path, char *into, size_t room) {
    into[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = read(fd, into, room - 1);
    close(fd);
    into[got > 0 ? got : 0] = 0;
    return got > 0;
}

/* Our children now: those that the starter orphaned. (Not every kernel has /proc/PID/task/TID/children.) */
static int children(pid_t *into, int room) {
    DIR *proc = opendir("/proc");
    if (!proc) return 0;
    int count = 0;
    for (struct dirent *entry; count < room && (entry = readdir(proc));) {
        char path[64], text[512], *after;
        int pid = atoi(entry->d_name), parent;
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        if (slurp(path, text, sizeof text) && (after = strrchr(text, ')')) &&
            sscanf(after, ") %*c %d", &parent) == 1 && parent == getpid())
            into[count++] = pid;
    }
    closedir(proc);
    return count;
}

static long resident_kib(pid_t pid) {
    char path[64], text[256];
    long size, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if (!slurp(path, text, sizeof text) || sscanf(text, "%ld %ld", &size, &resident) != 2) return 0;
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Until the file was written and closed, or nobody is going to. */
static int await_stamp(int watch, const char *path, long patience_ms) {
    struct pollfd ready = {.fd = watch, .events = POLLIN};
    char text[64];
    int seen = poll(&ready, 1, patience_ms) > 0;
    return seen && slurp(path, text, sizeof text);
}

/* The program gets TERM and its keepers the time to follow; what stays gets KILL. */
static int clear_away(pid_t program) {
    pid_t left[64];
    int killed = 0;
    if (program > 0) kill(program, SIGTERM);
    for (int ms = 0; ms < 2 * END_MS; ms++) {
        pid_t done;
        while ((done = waitpid(-1, NULL, WNOHANG)) > 0) {}
        if (done < 0 && errno == ECHILD) return killed;
        if (ms >= END_MS) {
            int count = children(left, 64);
            for (int i = 0; i < count; i++) kill(left[i], SIGKILL);
            killed = count;
        } else if (ms == 50) { /* the program was never seen: its starter's daemon is all there is */
            int count = program > 0 ? 0 : children(left, 64);
            for (int i = 0; i < count; i++) kill(left[i], SIGTERM);
        }
        rest_ms(1);
    }
    return -1;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fputs("usage: launch STAMP-FILE PIDFILE OUTPUT STARTER [ARG...]\n", stderr);
        return 2;
    }
    const char *stamp_path = argv[1], *pid_path = argv[2], *output = argv[3];

    char dir[4096];
    snprintf(dir, sizeof dir, "%s", stamp_path);
    char *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
    int watch = inotify_init1(IN_CLOEXEC);
    if (!slash || watch < 0 || inotify_add_watch(watch, dir, IN_CLOSE_WRITE) < 0) die(dir);
    long long *t0 = mmap(NULL, sizeof *t0, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t0 == MAP_FAILED) die("mmap");
    *t0 = 0;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) die("subreaper");
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (null < 0 || out < 0) die(output);
    struct rlimit files; /* what logins and services get; some starters close every descriptor up to it */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 1024) {
        files.rlim_cur = 1024;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sched_param prio = {.sched_priority = 20};
    int fifo = sched_setscheduler(0, SCHED_FIFO, &prio) == 0;

    starter = fork();
    if (starter < 0) die("fork");
    if (starter == 0) {
        umask(027); /* not the one that the job wants */
        dup2(null, 0);
        dup2(out, 1);
        dup2(out, 2);
        *t0 = now();
        execv(argv[4], argv + 4);
        _exit(127);
    }
    signal(SIGALRM, on_alarm);
    alarm(STARTER_S);
    int status;
    struct rusage usage;
    while (wait4(starter, &status, 0, &usage) < 0 && errno == EINTR) {}
    long long end = now();
    alarm(0);

    char pid_text[32], line[8192];
    slurp(pid_path, pid_text, sizeof pid_text);
    int fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    int stamped = await_stamp(watch, stamp_path, fine ? STAMP_MS : 100);
    char *at;
    pid_t program = 0;
    if (stamped && slurp(stamp_path, line, sizeof line) && (at = strstr(line, " pid="))) program = atoi(at + 5);

    long beside = 0;
    int processes = 0;
    if (program > 0 && program != starter) {
        pid_t left[64];
        rest_ms(5); /* let a keeper come to rest */
        int count = children(left, 64);
        for (int i = 0; i < count; i++) {
            long kib = left[i] == program ? 0 : resident_kib(left[i]);
            beside += kib;
            processes += kib > 0;
        }
    }
    int killed = clear_away(program == starter ? 0 : program);

    printf("t0=%lld exit=%lld code=%d fifo=%d peak_kib=%ld beside_kib=%ld beside=%d killed=%d timed_out=%d pidfile=%d "
           "stamped=%d\n",
           *t0, end, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), fifo, usage.ru_maxrss, beside,
           processes, killed, (int)timed_out, atoi(pid_text), stamped);
    return 0;
}
