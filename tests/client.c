#include "client.h"

#include "contract.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract.h"
#include "harness.h"

enum { PATH_BYTES = 4096, ARGUMENTS_MAX = 32, WAIT_MS = 30000 };

/* ---- the daemon ---- */

const char *client_binary(void)
{
    static char path[PATH_BYTES + 32];
    char self[PATH_BYTES] = "";
    const char *given = getenv("STRIDED_BINARY");
    if (given)
        return given;
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(path, sizeof path, "%s/../strided", dirname(self));
    return path;
}

/* Starts the binary with its output and error on these descriptors. */
static pid_t spawn(char *const *arguments, int output, int error)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    dup2(output, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    execv(client_binary(), arguments);
    fprintf(stderr, "cannot run %s: %s\n", client_binary(), strerror(errno));
    _exit(127);
}

static size_t add_arguments(char **to, size_t count, const char *const *arguments)
{
    for (; arguments && *arguments; arguments++) {
        ck_assert_uint_lt(count, ARGUMENTS_MAX - 1);
        to[count++] = (char *)*arguments;
    }
    to[count] = NULL;
    return count;
}

static bool wait_readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    int timeout_ms = getenv("STRIDED_TEST_SLOW") ? WAIT_MS * 10 : WAIT_MS;
    return poll(&poller, 1, timeout_ms) == 1;
}

static void read_line(int fd, char *line, size_t size)
{
    size_t used = 0;
    while (used < size - 1 && wait_readable(fd) && read(fd, line + used, 1) == 1)
        if (line[used++] == '\n')
            break;
    line[used] = '\0';
}

void daemon_launch(struct daemon *daemon, const char *const *flags)
{
    const char *const fixed[] = {"strided",     "serve",      "--no-bootstrap", "--listen",
                                 "127.0.0.1:0", "--data-dir", daemon->data_dir, NULL};
    char *arguments[ARGUMENTS_MAX];
    add_arguments(arguments, add_arguments(arguments, 0, fixed), flags);

    int output[2];
    ck_assert_int_eq(pipe2(output, O_CLOEXEC), 0);
    int log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_int_ge(log, 0);
    daemon->pid = spawn(arguments, output[1], log);
    close(log);
    close(output[1]);

    char line[256];
    read_line(output[0], line, sizeof line);
    close(output[0]);
    const char *at = strstr(line, " ready on http://127.0.0.1:");
    if (!at) {
        char *text = daemon_log(daemon);
        size_t size = strlen(text);
        ck_abort_msg("no ready line but '%s'; log: %s", line,
                     size > 4000 ? text + size - 4000 : text);
    }
    daemon->port = atoi(strrchr(at, ':') + 1);
    ck_assert_int_gt(daemon->port, 0);
}

void daemon_start(struct daemon *daemon, const char *const *flags)
{
    harness_tmpdir(daemon->folder, sizeof daemon->folder);
    snprintf(daemon->data_dir, sizeof daemon->data_dir, "%s/data", daemon->folder);
    snprintf(daemon->log, sizeof daemon->log, "%s/log", daemon->folder);
    daemon_launch(daemon, flags);
}

void daemon_terminate(struct daemon *daemon)
{
    ck_assert_int_eq(kill(daemon->pid, SIGTERM), 0);
}

void daemon_wait(struct daemon *daemon)
{
    int status = -1;
    ck_assert_int_eq(waitpid(daemon->pid, &status, 0), daemon->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *log = daemon_log(daemon);
        size_t size = strlen(log);
        ck_abort_msg("the daemon ended with wait status %#x; log: %s", (unsigned)status,
                     size > 4000 ? log + size - 4000 : log);
    }
}

void daemon_stop(struct daemon *daemon)
{
    daemon_terminate(daemon);
    daemon_wait(daemon);
    harness_rmdir(daemon->folder);
}

void daemon_restart(struct daemon *daemon, const char *const *flags)
{
    daemon_terminate(daemon);
    daemon_wait(daemon);
    daemon_launch(daemon, flags);
}

/* Everything up to the end of a file or socket, NUL-terminated. */
static char *read_to_end(int fd, size_t *size)
{
    char *text = NULL;
    size_t used = 0, capacity = 0;
    for (;;) {
        if (capacity - used < 4096) {
            capacity = capacity * 2 + 8192;
            text = realloc(text, capacity);
            ck_assert_ptr_nonnull(text);
        }
        ck_assert_msg(wait_readable(fd), "nothing to read after %zu bytes", used);
        ssize_t got = read(fd, text + used, capacity - used - 1);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    if (size)
        *size = used;
    return text;
}

char *daemon_log(const struct daemon *daemon)
{
    int fd = open(daemon->log, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    char *text = read_to_end(fd, NULL);
    close(fd);
    return text;
}

int client_run(const char *const *arguments, char **output)
{
    const char *const program[] = {"strided", NULL};
    char *all[ARGUMENTS_MAX];
    add_arguments(all, add_arguments(all, 0, program), arguments);
    int pipe_fds[2];
    ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = spawn(all, pipe_fds[1], pipe_fds[1]);
    close(pipe_fds[1]);
    *output = read_to_end(pipe_fds[0], NULL);
    close(pipe_fds[0]);
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- requests ---- */

struct text {
    char *data;
    size_t size;
};

static size_t append(char *bytes, size_t one, size_t count, void *context)
{
    struct text *text = context;
    (void)one;
    text->data = realloc(text->data, text->size + count + 1);
    ck_assert_ptr_nonnull(text->data);
    memcpy(text->data + text->size, bytes, count);
    text->size += count;
    text->data[text->size] = '\0';
    return count;
}

static struct curl_slist *header_list(const char *const *headers)
{
    /* libcurl's own Content-Type of a body is not wanted. */
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type:");
    for (; headers && *headers; headers++)
        list = curl_slist_append(list, *headers);
    ck_assert_ptr_nonnull(list);
    return list;
}

struct reply client_send(const struct daemon *daemon, const char *method, const char *path,
                         const char *const *headers, const void *body, size_t size)
{
    char url[16384];
    ck_assert_int_lt(snprintf(url, sizeof url, "http://127.0.0.1:%d%s", daemon->port, path),
                     (int)sizeof url);
    struct text head = {0}, content = {0};
    struct curl_slist *list = header_list(headers);
    CURL *curl = curl_easy_init();
    ck_assert_ptr_nonnull(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, append);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &content);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode code = curl_easy_perform(curl);
    ck_assert_msg(code == CURLE_OK, "%s %s: %s", method, path, curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(list);
    if (!content.data)
        append("", 1, 0, &content);
    const struct reply reply = {(int)status, head.data, content.data, content.size};
    contract_check(method, path, &reply);
    return reply;
}

struct reply client_get(const struct daemon *daemon, const char *path)
{
    return client_send(daemon, "GET", path, NULL, NULL, 0);
}

struct reply client_post(const struct daemon *daemon, const char *path, const char *body)
{
    return client_send(daemon, "POST", path, NULL, body, strlen(body));
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static _Thread_local char value[1024];
    size_t size = strlen(name);
    for (const char *line = reply->headers; line; line = strstr(line, "\r\n")) {
        line += strspn(line, "\r\n");
        if (strncasecmp(line, name, size) != 0 || line[size] != ':')
            continue;
        const char *start = line + size + 1 + strspn(line + size + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r\n"), start);
        return value;
    }
    return NULL;
}

void reply_clear(struct reply *reply)
{
    free(reply->headers);
    free(reply->body);
    *reply = (struct reply){0};
}

void reply_expect_problem(struct reply *reply, int status, const char *detail)
{
    char member[32];
    ck_assert_msg(reply->status == status, "status %d, expected %d: %s", reply->status, status,
                  reply->body);
    ck_assert_str_eq(reply_header(reply, "Content-Type"), "application/problem+json");
    snprintf(member, sizeof member, "\"status\":%d", status);
    ck_assert_ptr_nonnull(strstr(reply->body, member));
    ck_assert_ptr_nonnull(strstr(reply->body, "\"type\":\"about:blank\""));
    ck_assert_ptr_nonnull(strstr(reply->body, "\"request_id\":\""));
    const char *found = strstr(reply->body, "\"detail\":\"");
    ck_assert_msg(found && strstr(found, detail), "detail does not say '%s': %s", detail,
                  reply->body);
    reply_clear(reply);
}

/* ---- sockets ---- */

int client_connect(const struct daemon *daemon)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)daemon->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void client_write(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        size -= (size_t)sent;
    }
}

char *client_read_all(int fd, size_t *size)
{
    char *text = read_to_end(fd, size);
    close(fd);
    return text;
}

char *client_raw(const struct daemon *daemon, const char *bytes, size_t size)
{
    int fd = client_connect(daemon);
    client_write(fd, bytes, size);
    return client_read_all(fd, NULL);
}

void client_expect_refusal(const struct daemon *daemon, const char *head, int status,
                           const char *detail)
{
    char status_line[32];
    snprintf(status_line, sizeof status_line, "HTTP/1.1 %d ", status);
    char *text = client_raw(daemon, head, strlen(head));
    ck_assert_msg(strncmp(text, status_line, strlen(status_line)) == 0, "to %s came %s", head,
                  text);
    ck_assert_msg(strstr(text, detail) != NULL, "'%s' not in %s", detail, text);
    ck_assert_ptr_nonnull(strstr(text, "application/problem+json"));
    ck_assert_ptr_nonnull(strstr(text, "X-Request-Id: "));
    ck_assert_ptr_null(strstr(text, "\nHTTP/1.1 ")); /* one reply */
    free(text);
}
