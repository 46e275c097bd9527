#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "worker.h"

enum {
    READ_BYTES = 1 << 16,
    READS_MAX = 16, /* in one call, so that a flood cannot hold the scheduler */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool system_error(struct err *e, const char *what, int number)
{
    bool memory = number == ENOMEM;
    return err_set(e, memory ? ERR_NO_MEMORY : ERR_IO, "cannot %s: %s", what, strerror(number));
}

/* A memory file at its start that holds these bytes. */
static int input_file(const void *bytes, size_t size, struct err *e)
{
    int fd = memfd_create("strided-job", MFD_CLOEXEC);
    size_t written = 0;
    while (fd >= 0 && written < size) {
        ssize_t n = write(fd, (const char *)bytes + written, size - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        written += (size_t)n;
    }
    if (fd >= 0 && written == size && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    system_error(e, "hand the job to a worker", errno);
    close_fd(&fd);
    return -1;
}

/* ends[ours] never blocks; the other one is the worker's and lies past the numbers that the
 * worker's descriptors get, so that setting one of them overwrites no other. */
static bool open_pipe(int ends[2], int ours, struct err *e)
{
    int *theirs = &ends[1 - ours], lifted;
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[ours], F_SETFL, O_NONBLOCK) != 0 ||
        (lifted = fcntl(*theirs, F_DUPFD_CLOEXEC, WORKER_ACK_FD + 1)) < 0)
        return system_error(e, "make a pipe for a worker", errno);
    close(*theirs);
    *theirs = lifted;
    return true;
}

/* What the worker gets. */
struct worker_fds {
    int input, errors, progress, acks;
};

static int add_files(posix_spawn_file_actions_t *actions, const struct worker_fds *fds)
{
    int failed = posix_spawn_file_actions_adddup2(actions, fds->input, STDIN_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, fds->errors, STDERR_FILENO);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, fds->progress, WORKER_PROGRESS_FD);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, fds->acks, WORKER_ACK_FD);
    if (!failed)
        failed = posix_spawn_file_actions_addclosefrom_np(actions, WORKER_ACK_FD + 1);
    return failed;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!failed)
        failed = posix_spawnattr_setpgroup(attributes, 0);
    if (!failed)
        failed = posix_spawnattr_setsigmask(attributes, &none);
    if (!failed)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    return failed;
}

/* The running program's own file. The link itself always leads there, also after an upgrade has
 * removed the file's name, but under valgrind it leads to valgrind: hence the name while it holds.
 */
static const char *own_file(char *path, size_t size)
{
    static const char self[] = "/proc/self/exe";
    ssize_t n = readlink(self, path, size - 1);
    if (n <= 0)
        return self;
    path[n] = '\0';
    return access(path, X_OK) == 0 ? path : self;
}

static int spawn(pid_t *pid, char *const argv[], const struct worker_fds *fds)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char path[4096];
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        failed = add_files(&actions, fds);
        if (!failed)
            failed = set_attributes(&attributes);
        if (!failed)
            failed =
                posix_spawn(pid, own_file(path, sizeof path), &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

bool child_start(struct child *child, char *const argv[], const void *input, size_t size,
                 struct err *e)
{
    int progress[2] = {-1, -1}, errors[2] = {-1, -1}, acks[2] = {-1, -1};
    bool ok = false;
    *child = (struct child){.progress = -1, .errors = -1, .acks = -1};
    int input_fd = input_file(input, size, e);
    if (input_fd < 0 || !open_pipe(progress, 0, e) || !open_pipe(errors, 0, e) ||
        !open_pipe(acks, 1, e))
        goto out;
    CHECK(input_fd > STDERR_FILENO); /* the first to be set, so past 2 is enough */
    const struct worker_fds fds = {input_fd, errors[1], progress[1], acks[0]};
    int failed = spawn(&child->pid, argv, &fds);
    if (failed) {
        system_error(e, "start a worker", failed);
        goto out;
    }
    child->progress = progress[0];
    child->errors = errors[0];
    child->acks = acks[1];
    progress[0] = errors[0] = acks[1] = -1;
    ok = true;
out:
    close_fd(&input_fd);
    for (int i = 0; i < 2; i++) {
        close_fd(&progress[i]);
        close_fd(&errors[i]);
        close_fd(&acks[i]);
    }
    return ok;
}

/* Hands out the whole lines and keeps the rest. Bytes before `scanned` hold no '\n'. */
static bool take_lines(struct buf *buf, size_t scanned, child_line *on_line, void *context,
                       struct err *e)
{
    size_t begin = 0;
    for (char *end; (end = memchr(buf->data + scanned, '\n', buf->size - scanned));) {
        size_t next = (size_t)(end - buf->data) + 1;
        if (!on_line(context, buf->data + begin, next - begin - 1, e))
            return false;
        begin = scanned = next;
    }
    memmove(buf->data, buf->data + begin, buf->size - begin);
    buf->size -= begin;
    if (buf->size > CHILD_LINE_BYTES_MAX)
        return err_set(e, ERR_INTERNAL, "worker sent a message of more than %d bytes",
                       CHILD_LINE_BYTES_MAX);
    return true;
}

bool child_read(struct child *child, child_line *on_line, void *context, struct err *e)
{
    for (int reads = 0; reads < READS_MAX && child->progress >= 0; reads++) {
        if (!buf_reserve(&child->line, READ_BYTES))
            return err_no_memory(e);
        size_t scanned = child->line.size;
        ssize_t n = read(child->progress, child->line.data + scanned, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return system_error(e, "read a worker's progress", errno);
        if (n == 0) {
            close_fd(&child->progress);
            break;
        }
        child->line.size += (size_t)n;
        if (!take_lines(&child->line, scanned, on_line, context, e))
            return false;
    }
    return true;
}

void child_read_errors(struct child *child)
{
    for (int reads = 0; reads < READS_MAX && child->errors >= 0; reads++) {
        if (child->tail_size == sizeof child->tail) {
            size_t half = sizeof child->tail / 2;
            memmove(child->tail, child->tail + half, half);
            child->tail_size = half;
        }
        ssize_t n = read(child->errors, child->tail + child->tail_size,
                         sizeof child->tail - child->tail_size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            close_fd(&child->errors);
            break;
        }
        child->tail_size += (size_t)n;
    }
}

void child_acknowledge(const struct child *child)
{
    ssize_t n;
    do
        n = write(child->acks, "", 1);
    while (n < 0 && errno == EINTR);
    /* EPIPE: the worker has gone. EAGAIN: it does not read, so it does not wait either. How it ends
     * is learnt where it is reaped. */
    CHECK(n == 1 || errno == EPIPE || errno == EAGAIN);
}

void child_signal(const struct child *child, int signal)
{
    CHECK(child->pid > 0); /* 0 would be our own group */
    kill(-child->pid, signal);
}

/* The last line on standard error that is not empty; control characters become blanks. */
static void last_line(const struct child *child, char *line, size_t size)
{
    const char *end = child->tail + child->tail_size;
    while (end > child->tail && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    const char *begin = end;
    while (begin > child->tail && begin[-1] != '\n')
        begin--;
    size_t length = (size_t)(end - begin) < size - 1 ? (size_t)(end - begin) : size - 1;
    for (size_t i = 0; i < length; i++)
        line[i] = begin[i] >= ' ' && begin[i] <= '~' ? begin[i] : ' ';
    line[length] = '\0';
}

static void describe_end(const struct child *child, int status, char *reason, size_t size)
{
    char line[CHILD_REASON_BYTES / 2];
    last_line(child, line, sizeof line);
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        snprintf(reason, size, "worker was killed by signal %d (%s)%s%s", number, strsignal(number),
                 line[0] ? ": " : "", line);
    } else if (WEXITSTATUS(status) != 0) {
        snprintf(reason, size, "worker exited with status %d%s%s", WEXITSTATUS(status),
                 line[0] ? ": " : "", line);
    } else {
        reason[0] = '\0';
    }
}

void child_reap(struct child *child, char reason[CHILD_REASON_BYTES])
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(child->pid, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == child->pid);
    child_read_errors(child);
    describe_end(child, status, reason, CHILD_REASON_BYTES);
    close_fd(&child->progress);
    close_fd(&child->errors);
    close_fd(&child->acks);
    buf_clear(&child->line);
    *child = (struct child){.progress = -1, .errors = -1, .acks = -1};
}
