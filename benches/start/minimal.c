/* The least that a careful starter can do, as one static C program: the yardstick.
 *
 *     minimal USER PIDFILE LOGFILE PROGRAM [ARG...]
 *
 * It does the whole job and no more: the user and its groups looked up, program and PID file checked,
 * two forks and a new session, log opened and given to the user, PID file made exclusively, chdir /,
 * umask 022, standard descriptors, all ids set and read back, root proved gone, nothing inherited,
 * exec. The launcher waits on a close-on-exec pipe and says what failed.
 *
 *     gcc -O2 -static minimal.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct failure {
    int error;
    char step[28];
};

static char buffer[1 << 18];
static int status_fd = -1; /* the pipe to the launcher, once there is one */

static void fail(const char *step) {
    struct failure f = {.error = errno};
    strncpy(f.step, step, sizeof f.step - 1);
    if (status_fd >= 0) {
        if (write(status_fd, &f, sizeof f) != sizeof f) _exit(2);
    } else {
        fprintf(stderr, "minimal: %s: %s\n", f.step, strerror(f.error));
    }
    _exit(1);
}

/* The C library's own look-up needs shared libraries, even in a static program. */
static void slurp(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(path);
    size_t have = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + have, sizeof buffer - 1 - have);
        if (got < 0) fail(path);
        if (got == 0) break;
        have += got;
    }
    close(fd);
    buffer[have] = 0;
}

static int find_user(const char *user, uid_t *uid, gid_t *gid) {
    slurp("/etc/passwd");
    for (char *next = buffer, *line; (line = strsep(&next, "\n"));) {
        char *name = strsep(&line, ":");
        if (strcmp(name, user) != 0) continue;
        strsep(&line, ":");
        char *u = strsep(&line, ":"), *g = strsep(&line, ":");
        if (!u || !g) return 0;
        *uid = atol(u);
        *gid = atol(g);
        return 1;
    }
    return 0;
}

static int find_groups(const char *user, gid_t primary, gid_t *groups, int room) {
    int count = 0;
    groups[count++] = primary;
    slurp("/etc/group");
    for (char *next = buffer, *line; (line = strsep(&next, "\n"));) {
        strsep(&line, ":");
        strsep(&line, ":");
        char *g = strsep(&line, ":");
        for (char *member; g && line && (member = strsep(&line, ","));)
            if (!strcmp(member, user) && (gid_t)atol(g) != primary && count < room) groups[count++] = atol(g);
    }
    return count;
}

static void check_pid_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        if (errno == ENOENT) return;
        fail("read the PID file");
    }
    char text[32] = "";
    if (read(fd, text, sizeof text - 1) < 0) fail("read the PID file");
    close(fd);
    errno = EEXIST;
    if (atoi(text) > 0 && (kill(atoi(text), 0) == 0 || errno == EPERM)) fail("already running");
    if (unlink(path) < 0) fail("remove the stale PID file");
}

static void drop(uid_t uid, gid_t gid, const gid_t *groups, int count) {
    if (setgroups(count, groups) < 0) fail("setgroups");
    if (setresgid(gid, gid, gid) < 0) fail("setresgid");
    if (setresuid(uid, uid, uid) < 0) fail("setresuid");
    uid_t ur, ue, us;
    gid_t gr, ge, gs, now[64];
    errno = EPERM;
    if (getresuid(&ur, &ue, &us) < 0 || ur != uid || ue != uid || us != uid) fail("verify the user");
    if (getresgid(&gr, &ge, &gs) < 0 || gr != gid || ge != gid || gs != gid) fail("verify the group");
    if (getgroups(64, now) != count) fail("verify the groups");
    if (uid != 0 && (setresuid(0, 0, 0) == 0 || setresuid(-1, 0, -1) == 0)) fail("root can be regained");
}

static int launcher_waits(int fd, pid_t child) {
    int st;
    struct failure f;
    while (waitpid(child, &st, 0) < 0 && errno == EINTR) {}
    ssize_t got = read(fd, &f, sizeof f);
    if (got == 0) return 0; /* closed by exec */
    if (got == sizeof f) fprintf(stderr, "minimal: %s: %s\n", f.step, strerror(f.error));
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fputs("usage: minimal USER PIDFILE LOGFILE PROGRAM [ARG...]\n", stderr);
        return 2;
    }
    const char *user = argv[1], *pid_path = argv[2], *log_path = argv[3], *program = argv[4];

    uid_t uid;
    gid_t gid, groups[64];
    errno = ENOENT;
    if (!find_user(user, &uid, &gid)) fail("look up the user");
    int count = find_groups(user, gid, groups, 64);
    if (access(program, X_OK) < 0) fail("check the program");
    check_pid_file(pid_path);

    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0) fail("pipe");
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) {
        close(status[1]);
        return launcher_waits(status[0], child);
    }
    close(status[0]);
    status_fd = status[1];
    if (setsid() < 0) fail("setsid");
    child = fork();
    if (child < 0) fail("fork again");
    if (child > 0) _exit(0);

    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log < 0) fail("open the log");
    if (fchown(log, uid, gid) < 0) fail("give the log to the user");
    if (chdir("/") < 0) fail("chdir");
    umask(022);
    int pid_fd = open(pid_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (pid_fd < 0) fail("make the PID file");
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", getpid());
    if (write(pid_fd, text, n) != n) fail("write the PID file");
    close(pid_fd);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) fail("standard descriptors");

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    drop(uid, gid, groups, count);
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0) fail("close_range");
    execv(program, argv + 4);
    fail("exec the program");
}
