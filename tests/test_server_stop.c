/* Stops that come twice, too early, or in the middle of an upload; and a start beside another
 * daemon. After each the data directory is in order. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "job_client.h"

static struct daemon server;

static void put_shapes(const char *path)
{
    const char body[] = "{\"generator\":\"shapes\",\"train\":20,\"test\":10}";
    struct reply reply = client_send(&server, "PUT", path, NULL, body, sizeof body - 1);
    ck_assert_msg(reply.status == 201, "%d %s", reply.status, reply.body);
    reply_clear(&reply);
}

/* What was acknowledged is there, and nothing else. */
static void expect_in_order(void)
{
    char command[400];
    daemon_launch(&server, NULL);
    cJSON_Delete(get_json(&server, "/datasets/%s", "before"));
    put_shapes("/datasets/after");
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s/tmp')\"", server.data_dir);
    ck_assert_int_eq(system(command), 0);
    daemon_stop(&server);
}

/* Begins an upload of which the second half does not come. The head is answered by 100 Continue, so
 * it is in flight for sure. */
static int begin_upload(void)
{
    static const char head[] = "PUT /datasets/upload HTTP/1.1\r\nHost: x\r\n"
                               "Expect: 100-continue\r\nContent-Length: 4000000\r\n\r\n";
    static char bytes[2000000];
    char got[25];
    int fd = client_connect(&server);
    client_write(fd, head, sizeof head - 1);
    for (size_t used = 0; used < sizeof got;) {
        ssize_t n = read(fd, got + used, sizeof got - used);
        ck_assert_int_gt((int)n, 0);
        used += (size_t)n;
    }
    client_write(fd, bytes, sizeof bytes);
    return fd;
}

START_TEST(a_stop_during_an_upload_leaves_nothing_of_it)
{
    daemon_start(&server, (const char *const[]){"--drain-s=0", NULL});
    put_shapes("/datasets/before");
    int fd = begin_upload();
    daemon_terminate(&server);
    daemon_wait(&server);
    close(fd);
    expect_in_order();
}
END_TEST

START_TEST(the_second_of_two_stops_does_not_wait)
{
    int status;
    daemon_start(&server, (const char *const[]){"--drain-s=3600", NULL});
    put_shapes("/datasets/before");
    int fd = begin_upload();
    daemon_terminate(&server);
    for (;;) { /* until it stops: a stop that comes before is one with the first */
        char *log = daemon_log(&server);
        bool stopping = strstr(log, "\"stopping\"") != NULL;
        free(log);
        if (stopping)
            break;
        job_pause();
    }
    do {
        kill(server.pid, SIGTERM);
        job_pause();
    } while (waitpid(server.pid, &status, WNOHANG) == 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    close(fd);
    expect_in_order();
}
END_TEST

/* Before the program runs the signal has its default action: not libcheck's, which ends the test.
 */
static pid_t start_quietly(void)
{
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    pid_t pid = fork();
    if (pid == 0)
        signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    if (pid != 0)
        return pid;
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        execl(client_binary(), "strided", "serve", "--listen", "127.0.0.1:0", "--data-dir",
              server.data_dir, (char *)NULL);
    _exit(127);
}

/* Whether the signal comes before the program is ready for it or after is chance; either way the
 * next start must work. */
START_TEST(a_stop_at_any_time_of_a_start_is_obeyed)
{
    enum { STARTS = 20, STEP_US = 700 };
    daemon_start(&server, NULL);
    put_shapes("/datasets/before");
    daemon_terminate(&server);
    daemon_wait(&server);
    for (int i = 0; i < STARTS; i++) {
        int status;
        pid_t pid = start_quietly();
        usleep((useconds_t)i * STEP_US);
        kill(pid, SIGTERM);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
                          (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM),
                      "stopped after %d us: %#x", i * STEP_US, (unsigned)status);
    }
    expect_in_order();
}
END_TEST

START_TEST(a_second_daemon_on_the_same_data_is_refused)
{
    char *output, pid[32];
    daemon_start(&server, NULL);
    put_shapes("/datasets/before");
    ck_assert_int_eq(client_run((const char *const[]){"serve", "--listen", "127.0.0.1:0",
                                                      "--data-dir", server.data_dir, NULL},
                                &output),
                     1);
    snprintf(pid, sizeof pid, "(pid %d)", (int)server.pid);
    ck_assert_msg(strstr(output, "another strided uses this data directory") != NULL &&
                      strstr(output, pid) != NULL && strstr(output, server.data_dir) != NULL,
                  "%s", output);
    free(output);
    put_shapes("/datasets/more"); /* the first is not disturbed */
    daemon_terminate(&server);
    daemon_wait(&server);
    expect_in_order();
}
END_TEST

TEST_PROGRAM("server stop", a_stop_during_an_upload_leaves_nothing_of_it,
             the_second_of_two_stops_does_not_wait, a_stop_at_any_time_of_a_start_is_obeyed,
             a_second_daemon_on_the_same_data_is_refused)
