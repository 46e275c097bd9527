/* The data directory: lock, leftovers, and files that are absent or complete. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "harness.h"
#include "hash.h"

static char root[256];
static struct err error;

static void open_data(void)
{
    harness_tmpdir(root, sizeof root);
    ck_assert_msg(files_open(root, &error), "%s", error.detail);
}

static void close_data(void)
{
    files_close();
    harness_rmdir(root);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* How many entries <data>/tmp holds. */
static int tmp_entries(void)
{
    char command[512];
    int count = -1;
    snprintf(command, sizeof command, "ls -A '%s/tmp' | wc -l", root);
    FILE *pipe = popen(command, "r");
    ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static void path_of(char *path, const char *name, int version)
{
    files_path(path, FILES_PATH_BYTES, "models", name, version, ".onnx");
}

START_TEST(commit_makes_the_file_and_its_folder)
{
    char path[FILES_PATH_BYTES];
    struct file_writer w;
    struct file_map map;
    open_data();
    path_of(path, "digits", 3);
    ck_assert(file_begin(&w, &error));
    file_write(&w, "hello ", 6);
    file_write(&w, "world", 5);
    ck_assert_msg(!exists(path), "visible before the commit");
    ck_assert_msg(file_commit(&w, path, &error), "%s", error.detail);
    ck_assert(file_map_open(&map, path, &error));
    ck_assert_uint_eq(map.size, 11);
    ck_assert_mem_eq(map.bytes, "hello world", 11);
    file_map_close(&map);
    ck_assert_int_eq(tmp_entries(), 0);
    close_data();
}
END_TEST

START_TEST(path_names_folder_name_and_version)
{
    char path[FILES_PATH_BYTES], expected[512];
    open_data();
    path_of(path, "digits", 12);
    snprintf(expected, sizeof expected, "%s/models/digits/12.onnx", root);
    ck_assert_str_eq(path, expected);
    close_data();
}
END_TEST

START_TEST(a_checkpoint_is_named_after_its_job)
{
    char path[FILES_PATH_BYTES], expected[512];
    open_data();
    files_checkpoint_path(path, sizeof path, 4294967298);
    snprintf(expected, sizeof expected, "%s/checkpoints/4294967298.safetensors", root);
    ck_assert_str_eq(path, expected);
    FILE *file = fopen(path, "w"); /* its folder is there */
    ck_assert_ptr_nonnull(file);
    fclose(file);
    close_data();
}
END_TEST

START_TEST(abort_leaves_nothing)
{
    struct file_writer w;
    open_data();
    ck_assert(file_begin(&w, &error));
    file_write(&w, "x", 1);
    ck_assert_int_eq(tmp_entries(), 1);
    file_abort(&w);
    file_abort(&w); /* twice does no harm */
    ck_assert_int_eq(tmp_entries(), 0);
    close_data();
}
END_TEST

START_TEST(failed_write_is_told_by_commit_and_leaves_nothing)
{
    char path[FILES_PATH_BYTES], block[4096] = {0};
    struct file_writer w;
    open_data();
    path_of(path, "m", 1);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert(file_begin(&w, &error));
    const struct rlimit limit = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit); /* as a full disk: write fails part of the way */
    file_write(&w, block, sizeof block);
    file_write(&w, block, sizeof block);
    ck_assert(!file_commit(&w, path, &error));
    ck_assert_int_eq(error.code, ERR_NO_SPACE);
    ck_assert(strstr(error.detail, "cannot write"));
    ck_assert(!exists(path));
    ck_assert_int_eq(tmp_entries(), 0);
    close_data();
}
END_TEST

static void write_again(const char *path, const char *text, bool expected)
{
    struct file_writer w;
    ck_assert(file_begin_again(&w, "again", &error));
    file_write(&w, text, strlen(text));
    ck_assert_int_eq(file_replace(&w, path, &error), expected);
    ck_assert_int_eq(tmp_entries(), 0);
}

START_TEST(a_file_is_replaced_by_its_newer_self)
{
    struct file_map map;
    struct file_writer killed;
    char path[FILES_PATH_BYTES];
    open_data();
    path_of(path, "digits", 1);
    write_again(path, "first", true);
    ck_assert(file_begin_again(&killed, "again", &error));
    file_write(&killed, "half of a longer", 16);
    close(killed.fd); /* as when its process ends */
    ck_assert_int_eq(tmp_entries(), 1);
    write_again(path, "second", true);
    ck_assert(file_map_open(&map, path, &error));
    ck_assert_uint_eq(map.size, 6);
    ck_assert_mem_eq(map.bytes, "second", 6);
    file_map_close(&map);
    ck_assert_int_eq(remove(path), 0);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    write_again(path, "third", false);
    ck_assert_int_eq(error.code, ERR_IO);
    close_data();
}
END_TEST

START_TEST(publish_moves_a_workers_file)
{
    char temp[512], path[FILES_PATH_BYTES];
    open_data();
    snprintf(temp, sizeof temp, "%s/tmp/job-1.onnx", root);
    FILE *file = fopen(temp, "w");
    fputs("model", file);
    fclose(file);
    path_of(path, "m", 1);
    ck_assert_msg(file_publish(temp, path, &error), "%s", error.detail);
    ck_assert(exists(path) && !exists(temp));
    close_data();
}
END_TEST

START_TEST(publish_of_an_absent_file_fails)
{
    char temp[512], path[FILES_PATH_BYTES];
    open_data();
    snprintf(temp, sizeof temp, "%s/tmp/none", root);
    path_of(path, "m", 1);
    ck_assert(!file_publish(temp, path, &error));
    ck_assert_int_eq(error.code, ERR_IO);
    ck_assert(!exists(path));
    close_data();
}
END_TEST

START_TEST(remove_of_an_absent_file_is_fine)
{
    char path[FILES_PATH_BYTES];
    open_data();
    path_of(path, "none", 1);
    ck_assert(file_remove(path, &error));
    close_data();
}
END_TEST

START_TEST(map_of_an_absent_file_is_not_found)
{
    char path[FILES_PATH_BYTES];
    struct file_map map;
    open_data();
    path_of(path, "none", 1);
    ck_assert(!file_map_open(&map, path, &error));
    ck_assert_int_eq(error.code, ERR_NOT_FOUND);
    close_data();
}
END_TEST

START_TEST(map_of_an_empty_file_has_no_bytes)
{
    char path[FILES_PATH_BYTES];
    struct file_writer w;
    struct file_map map;
    open_data();
    path_of(path, "m", 1);
    ck_assert(file_begin(&w, &error) && file_commit(&w, path, &error));
    ck_assert(file_map_open(&map, path, &error));
    ck_assert_uint_eq(map.size, 0);
    file_map_close(&map);
    close_data();
}
END_TEST

START_TEST(open_removes_what_a_crash_left_in_tmp)
{
    struct file_writer w;
    open_data();
    ck_assert(file_begin(&w, &error));
    close(w.fd);
    files_close();
    ck_assert_int_eq(tmp_entries(), 1);
    ck_assert(files_open(root, &error));
    ck_assert_int_eq(tmp_entries(), 0);
    close_data();
}
END_TEST

START_TEST(second_daemon_is_refused_with_the_firsts_pid)
{
    char pid[32];
    open_data();
    pid_t child = fork();
    if (child == 0) {
        struct err e;
        snprintf(pid, sizeof pid, "(pid %d)", (int)getppid());
        bool refused = !files_open(root, &e) && e.code == ERR_CONFLICT &&
                       strstr(e.detail, "another strided uses this data directory") &&
                       strstr(e.detail, pid);
        _exit(refused ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close_data();
}
END_TEST

/* As a worker does that the daemon's death meets on its way. */
START_TEST(a_lock_that_is_let_go_in_a_moment_is_waited_for)
{
    char path[512];
    int told[2];
    open_data();
    files_close();
    snprintf(path, sizeof path, "%s/lock", root);
    ck_assert_int_eq(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        if (flock(fd, LOCK_EX) != 0 || write(told[1], "", 1) != 1)
            _exit(1);
        usleep(100000);
        _exit(0);
    }
    char byte;
    ck_assert_int_eq((int)read(told[0], &byte, 1), 1);
    ck_assert_msg(files_open(root, &error), "%s", error.detail);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    close_data();
}
END_TEST

START_TEST(worker_attaches_beside_the_lock)
{
    char path[FILES_PATH_BYTES], expected[512];
    open_data();
    ck_assert(files_attach(root, &error));
    path_of(path, "m", 1);
    snprintf(expected, sizeof expected, "%s/models/m/1.onnx", root);
    ck_assert_str_eq(path, expected);
    close_data();
}
END_TEST

START_TEST(open_makes_missing_folders_and_ignores_a_trailing_slash)
{
    char deep[512];
    harness_tmpdir(root, sizeof root);
    snprintf(deep, sizeof deep, "%s/a/b/", root);
    ck_assert_msg(files_open(deep, &error), "%s", error.detail);
    deep[strlen(deep) - 1] = '\0';
    ck_assert_str_eq(files_data_dir(), deep);
    close_data();
}
END_TEST

START_TEST(open_on_a_file_fails)
{
    char path[512];
    harness_tmpdir(root, sizeof root);
    snprintf(path, sizeof path, "%s/file", root);
    fclose(fopen(path, "w"));
    ck_assert(!files_open(path, &error));
    ck_assert_int_eq(error.code, ERR_IO);
    close_data();
}
END_TEST

START_TEST(open_refuses_a_name_without_or_with_too_many_bytes)
{
    static char long_name[5000];
    memset(long_name, 'a', sizeof long_name - 1);
    ck_assert(!files_open("", &error));
    ck_assert_int_eq(error.code, ERR_INVALID);
    ck_assert(!files_open(long_name, &error));
    ck_assert_int_eq(error.code, ERR_INVALID);
}
END_TEST

/* FIPS 180-4's examples. */
START_TEST(sha256_matches_the_standard)
{
    char hex[65];
    hash_sha256("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256(NULL, 0, hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

TEST_PROGRAM("server files", commit_makes_the_file_and_its_folder,
             path_names_folder_name_and_version, a_checkpoint_is_named_after_its_job,
             abort_leaves_nothing, failed_write_is_told_by_commit_and_leaves_nothing,
             a_file_is_replaced_by_its_newer_self, publish_moves_a_workers_file,
             publish_of_an_absent_file_fails, remove_of_an_absent_file_is_fine,
             map_of_an_absent_file_is_not_found, map_of_an_empty_file_has_no_bytes,
             open_removes_what_a_crash_left_in_tmp, second_daemon_is_refused_with_the_firsts_pid,
             a_lock_that_is_let_go_in_a_moment_is_waited_for, worker_attaches_beside_the_lock,
             open_makes_missing_folders_and_ignores_a_trailing_slash, open_on_a_file_fails,
             open_refuses_a_name_without_or_with_too_many_bytes, sha256_matches_the_standard)
