/* The daemon where memory or descriptors run out: it says so, stays, and goes on when there are
 * some again. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "scarce.h"
#include "small_job.h"

static struct daemon server;
static struct scarce *scarce;

/* The daemons that are started from now on find memory scarce when told so. False where a sanitizer
 * allocates in its own way. */
static bool prepare_scarce(void)
{
    static char library[4200];
    char self[4096] = "", rule[] = "/tmp/strided-scarce-XXXXXX", name[64];
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(library, sizeof library, "%s/scarce.so", dirname(self));
    if (access(library, R_OK) != 0) {
        printf("skipped: allocations cannot be made to fail in this build\n");
        fflush(stdout);
        return false;
    }
    int fd = mkstemp(rule);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, sizeof *scarce), 0);
    scarce = mmap(NULL, sizeof *scarce, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(scarce != MAP_FAILED);
    unlink(rule);
    snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)getpid(), fd);
    setenv("STRIDED_SCARCE", name, 1);
    setenv("LD_PRELOAD", library, 1);
    return true;
}

/* The status of the answer; 0 when the connection was closed without one. Closes fd. */
static int ask_on(int fd, const char *method, const char *path, const char *body)
{
    char head[512];
    int status = 0;
    int size = snprintf(head, sizeof head,
                        "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        method, path, strlen(body));
    client_write(fd, head, (size_t)size);
    client_write(fd, body, strlen(body));
    char *text = client_read_all(fd, NULL);
    sscanf(text, "HTTP/1.1 %d ", &status);
    free(text);
    return status;
}

static int ask(const char *method, const char *path, const char *body)
{
    return ask_on(client_connect(&server), method, path, body);
}

static void expect_alive(const char *about, uint32_t n)
{
    int status;
    if (waitpid(server.pid, &status, WNOHANG) == 0 && ask("GET", "/health/live", "") == 200)
        return;
    char *log = daemon_log(&server);
    size_t size = strlen(log);
    ck_abort_msg("%s, allocation %u failed: the daemon died; log: %s", about, n,
                 size > 2000 ? log + size - 2000 : log);
}

/* Asks again and again, the n-th allocation failing. */
static void fail_each_allocation(const char *method, const char *path, const char *body,
                                 uint32_t stride)
{
    uint32_t failed = 1;
    for (uint32_t n = 1; failed && n < 2000; n += stride) {
        scarce->seen = scarce->failed = 0;
        scarce->from = scarce->until = n;
        scarce->armed = 1;
        int status = ask(method, path, body);
        scarce->armed = 0;
        failed = scarce->failed;
        ck_assert_msg(status == 0 || status == 409 || (status >= 200 && status < 300) ||
                          status == 500 || status == 503 || status == 507,
                      "%s %s, allocation %u failed: %d", method, path, n, status);
        expect_alive(path, n);
    }
}

static char *picture(void)
{
    static char body[2048] = "{\"inputs\":[0";
    size_t used = strlen("{\"inputs\":[0");
    for (int i = 1; i < 784; i++, used += 2)
        memcpy(body + used, ",0", 3);
    memcpy(body + used, "]}", 3);
    return body;
}

START_TEST(any_allocation_of_a_request_may_fail)
{
    static const char job[] = "{" SMALL ",\"epochs\":1}";
    if (!prepare_scarce())
        return;
    daemon_start(&server, one_thread);
    make_shapes(&server, 20, 10);
    cJSON_Delete(run_job(&server, job));
    fail_each_allocation("GET", "/datasets", "", 1);
    fail_each_allocation("GET", "/models/m", "", 3);
    fail_each_allocation("GET", "/jobs/1/loss", "", 3);
    fail_each_allocation("GET", "/jobs/1/confusion", "", 3);
    fail_each_allocation("POST", "/predict", picture(), 3);
    fail_each_allocation("POST", "/models/m/evaluate", "{\"dataset\":\"shapes\"}", 5);
    fail_each_allocation("PUT", "/datasets/other",
                         "{\"generator\":\"shapes\",\"train\":4,\"test\":2}", 5);
    fail_each_allocation("POST", "/jobs", job, 11);
    daemon_stop(&server);
}
END_TEST

/* Whatever happens while there is none, afterwards all is as before. */
START_TEST(memory_that_is_gone_for_a_while_ends_nothing)
{
    if (!prepare_scarce())
        return;
    daemon_start(&server, one_thread);
    make_shapes(&server, 200, 50);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    char id[24];
    post_job(&server, ENDLESS, id);
    wait_running(&server, id);
    scarce->from = 1;
    scarce->until = UINT32_MAX;
    scarce->seen = scarce->failed = 0;
    scarce->armed = 1;
    for (int i = 0; i < 20; i++)
        ask("POST", "/predict", picture());
    ck_assert_uint_ge(scarce->failed, 20);
    scarce->armed = 0;
    expect_alive("all", 0);
    expect_model_answers(&server, "/models/m/predict");
    struct reply reply = client_post(&server, "/jobs/2/cancel", ""); /* if it still runs */
    reply_clear(&reply);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    daemon_stop(&server);
}
END_TEST

/* ---- descriptors ---- */

/* CPU time of the daemon, in ticks. */
static unsigned long long daemon_ticks(void)
{
    char path[64];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)server.pid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file,
                            "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                            &user, &system),
                     2);
    fclose(file);
    return user + system;
}

/* More clients than descriptors: those that have one are served, the others wait, nothing spins,
 * and all is well when they have gone. */
START_TEST(descriptors_that_run_out_stop_nobody_for_good)
{
    enum { CLIENTS = 60, LIMIT = 48 };
    const struct rlimit few = {LIMIT, LIMIT}, none = {1, LIMIT};
    int fds[CLIENTS];
    daemon_start(&server, one_thread);
    make_shapes(&server, 20, 10);
    int first = client_connect(&server), second = client_connect(&server);
    expect_alive("before", 0); /* they have been taken */
    ck_assert_int_eq(prlimit(server.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_connect(&server);
    unsigned long long before = daemon_ticks();
    usleep(300000);
    ck_assert_msg(daemon_ticks() - before < 25, "%llu ticks for nothing", daemon_ticks() - before);
    ck_assert_int_eq(prlimit(server.pid, RLIMIT_NOFILE, &none, NULL), 0);
    ck_assert_int_eq(ask_on(first, "PUT", "/datasets/d", "{\"generator\":\"shapes\",\"train\":4}"),
                     503);
    ck_assert_int_eq(ask_on(second, "GET", "/health/live", ""), 200);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    ck_assert_int_eq(prlimit(server.pid, RLIMIT_NOFILE, &few, NULL), 0);
    expect_alive("descriptors", 0);
    cJSON_Delete(run_job(&server, "{" SMALL ",\"epochs\":1}"));
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server memory", any_allocation_of_a_request_may_fail,
             memory_that_is_gone_for_a_while_ends_nothing,
             descriptors_that_run_out_stop_nobody_for_good)
