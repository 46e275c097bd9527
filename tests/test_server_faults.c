/* The daemon where its surroundings fail it: full disk, taken port, closed streams, a stop in the
 * middle of the first start. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "harness.h"
#include "job_client.h"

#define SMALL \
    "\"model\":\"m\",\"dataset\":\"shapes\",\"architecture\":\"shapes-cnn\",\"batch_size\":10"

/* ---- full disk ---- */

/* From now on the daemon's files cannot grow; false: as before. */
static void fill_disk(const struct daemon *daemon, bool full)
{
    struct rlimit limit;
    ck_assert_int_eq(prlimit(daemon->pid, RLIMIT_FSIZE, NULL, &limit), 0);
    limit.rlim_cur = full ? 1 : limit.rlim_max;
    ck_assert_int_eq(prlimit(daemon->pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

START_TEST(a_full_disk_fails_one_job_and_the_queue_goes_on_when_there_is_room)
{
    struct daemon daemon;
    char first[24], second[24];
    daemon_start(&daemon, NULL);
    make_shapes(&daemon, 200, 50);
    post_job(&daemon, "{" SMALL ",\"epochs\":100000}", first);
    post_job(&daemon, "{" SMALL ",\"epochs\":1}", second);
    wait_running(&daemon, first);
    fill_disk(&daemon, true);
    while (find_worker(&daemon) != 0)
        job_pause();
    struct reply reply = client_post(&daemon, "/jobs", "{" SMALL "}");
    ck_assert_msg(reply.status == 507 || reply.status == 500, "%d %s", reply.status, reply.body);
    reply_clear(&reply);
    fill_disk(&daemon, false);
    cJSON *job = wait_job(&daemon, first);
    ck_assert_str_eq(text(job, "state"), "failed");
    ck_assert_ptr_nonnull(strstr(text(job, "error"), "database: "));
    cJSON_Delete(job);
    job = wait_job(&daemon, second);
    ck_assert_str_eq(text(job, "state"), "succeeded");
    cJSON_Delete(job);
    daemon_stop(&daemon);
}
END_TEST

/* ---- start ---- */

START_TEST(a_taken_port_leaves_the_data_directory_alone)
{
    struct daemon daemon;
    char folder[128], data[160], taken[64], *output;
    daemon_start(&daemon, NULL);
    harness_tmpdir(folder, sizeof folder);
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(taken, sizeof taken, "127.0.0.1:%d", daemon.port);
    ck_assert_int_eq(
        client_run((const char *const[]){"serve", "--data-dir", data, "--listen", taken, NULL},
                   &output),
        1);
    ck_assert_msg(strstr(output, "Address already in use") != NULL, "%s", output);
    free(output);
    ck_assert_int_ne(access(data, F_OK), 0);
    harness_rmdir(folder);
    daemon_stop(&daemon);
}
END_TEST

START_TEST(a_first_start_that_was_cut_short_is_made_up_for_by_the_next)
{
    const char *const bootstrap[] = {"--bootstrap", NULL};
    struct daemon daemon;
    daemon_start(&daemon, bootstrap);
    kill(daemon.pid, SIGKILL);
    ck_assert_int_eq(waitpid(daemon.pid, NULL, 0), daemon.pid);
    daemon_launch(&daemon, bootstrap);
    daemon_restart(&daemon, bootstrap);
    for (;;) {
        struct reply reply = client_get(&daemon, "/models/shapes");
        bool there = reply.status == 200;
        reply_clear(&reply);
        if (there)
            break;
        job_pause();
    }
    daemon_stop(&daemon);
}
END_TEST

START_TEST(closed_streams_do_not_let_the_log_into_files)
{
    struct daemon daemon;
    char path[400], link[64], lock[64] = "";
    daemon_start(&daemon, NULL);
    daemon_terminate(&daemon);
    daemon_wait(&daemon);
    pid_t pid = fork();
    if (pid == 0) {
        for (int fd = 0; fd <= 2; fd++)
            close(fd);
        execl(client_binary(), "strided", "serve", "--no-bootstrap", "--listen", "127.0.0.1:0",
              "--data-dir", daemon.data_dir, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_gt(pid, 0);
    snprintf(path, sizeof path, "%s/lock", daemon.data_dir);
    while (atoi(lock) != pid) {
        FILE *file = fopen(path, "r");
        if (!file || !fgets(lock, sizeof lock, file))
            job_pause();
        if (file)
            fclose(file);
    }
    for (int fd = 0; fd <= 2; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
        ssize_t size = readlink(path, link, sizeof link - 1);
        ck_assert_int_gt((int)size, 0);
        link[size] = '\0';
        ck_assert_str_eq(link, "/dev/null");
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    daemon_launch(&daemon, NULL);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_faults", a_full_disk_fails_one_job_and_the_queue_goes_on_when_there_is_room,
             a_taken_port_leaves_the_data_directory_alone,
             a_first_start_that_was_cut_short_is_made_up_for_by_the_next,
             closed_streams_do_not_let_the_log_into_files)
