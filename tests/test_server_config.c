/* Settings from flags, environment, file and defaults; and the command line around them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "config.h"
#include "harness.h"

enum { ARGUMENTS_MAX = 8 };

static struct config config;
static struct err e;
static bool help;

static bool load(const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX];
    int argc = 0;
    for (; arguments[argc]; argc++)
        argv[argc] = (char *)arguments[argc];
    memset(&e, 0, sizeof e);
    return config_load(&config, argc, argv, &help, &e);
}
#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static void expect_refused(const char *detail)
{
    ck_assert_int_eq(e.code, ERR_INVALID);
    ck_assert_msg(strstr(e.detail, detail) != NULL, "'%s' does not say '%s'", e.detail, detail);
}

/* A file with this text, below a folder that the caller removes. */
static void write_file(char *folder, size_t folder_size, char *path, size_t size, const char *text)
{
    harness_tmpdir(folder, folder_size);
    snprintf(path, size, "%s/strided.conf", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(defaults_are_usable)
{
    ck_assert(load((const char *const[]){NULL}));
    ck_assert_str_eq(config.listen, "127.0.0.1:8080");
    ck_assert_str_eq(config.data_dir, "./strided-data");
    ck_assert_int_ge(config.threads, 1);
    ck_assert_int_ge(config.http_threads, 2);
    ck_assert_int_ge(config.work_threads, 1);
    ck_assert_int_eq(config.drain_s, 10);
    ck_assert_int_eq(config.connections, 4096);
    ck_assert_int_eq(config.connections_per_address, 0);
    ck_assert_int_eq(config.head_timeout_s, 20);
    ck_assert_int_eq(config.body_timeout_s, 30);
    ck_assert_int_eq(config.send_timeout_s, 30);
    ck_assert_int_eq(config.idle_timeout_s, 60);
    ck_assert_int_eq(config.min_rate, 1000);
    ck_assert(config.bootstrap);
    ck_assert(config.access_log);
    ck_assert(!help);
}
END_TEST

START_TEST(flags_take_a_value_after_a_space_or_an_equals_sign)
{
    ck_assert(LOAD("--listen", "0.0.0.0:1", "--data-dir=/x=y", "--threads", "3"));
    ck_assert_str_eq(config.listen, "0.0.0.0:1");
    ck_assert_str_eq(config.data_dir, "/x=y");
    ck_assert_int_eq(config.threads, 3);
}
END_TEST

START_TEST(booleans_are_switched_three_ways)
{
    ck_assert(LOAD("--no-bootstrap", "--access-log=false"));
    ck_assert(!config.bootstrap);
    ck_assert(!config.access_log);
    ck_assert(LOAD("--no-bootstrap", "--bootstrap"));
    ck_assert(config.bootstrap);
}
END_TEST

START_TEST(a_flag_wins_over_environment_file_and_default)
{
    char folder[128], path[160];
    write_file(folder, sizeof folder, path, sizeof path,
               "# comment\n\n threads = 2 # trailing\nhttp-threads=3\nwork-threads = 4\r\n"
               "data-dir = /a b#c\nbootstrap = no");
    setenv("STRIDED_HTTP_THREADS", "5", 1);
    setenv("STRIDED_WORK_THREADS", "6", 1);
    ck_assert_msg(LOAD("--config", path, "--work-threads", "7"), "%s", e.detail);
    ck_assert_int_eq(config.threads, 2);
    ck_assert_int_eq(config.http_threads, 5);
    ck_assert_int_eq(config.work_threads, 7);
    ck_assert_str_eq(config.data_dir, "/a b#c");
    ck_assert(!config.bootstrap);
    harness_rmdir(folder);
}
END_TEST

START_TEST(the_environment_can_name_the_file)
{
    char folder[128], path[160];
    write_file(folder, sizeof folder, path, sizeof path, "threads = 2\n");
    setenv("STRIDED_CONFIG", path, 1);
    ck_assert(load((const char *const[]){NULL}));
    ck_assert_int_eq(config.threads, 2);
    harness_rmdir(folder);
}
END_TEST

START_TEST(an_unknown_key_names_file_and_line)
{
    char folder[128], path[160];
    write_file(folder, sizeof folder, path, sizeof path, "threads = 2\n\nspeed = 9\n");
    ck_assert(!LOAD("--config", path));
    expect_refused("unknown setting 'speed'");
    expect_refused("strided.conf\" line 3");
    harness_rmdir(folder);
}
END_TEST

START_TEST(bad_lines_of_a_file_are_refused)
{
    static const char *const lines[] = {"threads", "= 3", "threads =", "threads = 1x",
                                        "bootstrap = maybe"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char folder[128], path[160];
        write_file(folder, sizeof folder, path, sizeof path, lines[i]);
        ck_assert_msg(!LOAD("--config", path), "accepted '%s'", lines[i]);
        expect_refused("line 1");
        harness_rmdir(folder);
    }
    ck_assert(!LOAD("--config", "/nonexistent/strided.conf"));
    expect_refused("cannot open \"/nonexistent/strided.conf\"");
}
END_TEST

START_TEST(an_endless_line_is_refused)
{
    static char text[20000];
    char folder[128], path[160];
    memset(text, 'a', sizeof text - 1);
    write_file(folder, sizeof folder, path, sizeof path, text);
    ck_assert(!LOAD("--config", path));
    expect_refused("line longer than");
    harness_rmdir(folder);
}
END_TEST

START_TEST(bad_flags_are_refused_by_name)
{
    static const struct {
        const char *flag, *value, *detail;
    } cases[] = {
        {"--speed", "9", "unknown flag '--speed'"},
        {"--no-threads", NULL, "unknown flag '--no-threads'"},
        {"--no-bootstrap=yes", NULL, "unknown flag '--no-bootstrap=yes'"},
        {"serve", NULL, "unexpected argument 'serve'"},
        {"--listen", NULL, "'--listen' needs a value"},
        {"--config", NULL, "'--config' needs a value"},
        {"--threads", "0", "from 1 to 256 for 'threads', got '0'"},
        {"--threads", "257", "from 1 to 256"},
        {"--threads", "99999999999999999999", "from 1 to 256"},
        {"--threads", "", "got ''"},
        {"--threads", "2 ", "got '2 '"},
        {"--drain-s", "-1", "from 0 to 3600"},
        {"--bootstrap=maybe", NULL, "expected true or false"},
        {"--listen", "", "empty value for 'listen'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(!LOAD(cases[i].flag, cases[i].value), "accepted '%s'", cases[i].flag);
        expect_refused(cases[i].detail);
    }
}
END_TEST

START_TEST(a_bad_environment_variable_is_refused)
{
    setenv("STRIDED_DRAIN_S", "soon", 1);
    ck_assert(!load((const char *const[]){NULL}));
    expect_refused("'drain-s', got 'soon'");
    ck_assert_str_eq(e.field, "drain-s");
}
END_TEST

START_TEST(a_text_too_long_is_refused)
{
    static char host[300];
    memset(host, 'a', sizeof host - 1);
    ck_assert(!LOAD("--listen", host));
    expect_refused("longer than 127 bytes");
}
END_TEST

START_TEST(help_is_asked_for_by_flag)
{
    ck_assert(LOAD("--help"));
    ck_assert(help);
}
END_TEST

static void expect_run(const char *const *arguments, int status, const char *text)
{
    char *output;
    int got = client_run(arguments, &output);
    ck_assert_msg(got == status, "exit status %d: %s", got, output);
    ck_assert_msg(strstr(output, text) != NULL, "'%s' not in: %s", text, output);
    free(output);
}
#define EXPECT_RUN(status, text, ...) \
    expect_run((const char *const[]){__VA_ARGS__, NULL}, status, text)

START_TEST(the_command_line_explains_itself)
{
    EXPECT_RUN(0, "strided serve", "--help");
    EXPECT_RUN(0, "strided serve", "help");
    EXPECT_RUN(0, "--data-dir PATH", "serve", "--help");
    EXPECT_RUN(0, "STRIDED_DATA_DIR", "serve", "--help");
    EXPECT_RUN(0, "strided " STRIDED_VERSION "\n", "version");
    EXPECT_RUN(2, "unknown command 'fly'", "fly");
    EXPECT_RUN(2, "unknown flag '--fly'", "serve", "--fly");
    EXPECT_RUN(2, "strided help", NULL);
}
END_TEST

START_TEST(an_address_that_cannot_be_served_is_named)
{
    char folder[128], data[160], taken[64];
    struct daemon daemon;
    daemon_start(&daemon, NULL);
    harness_tmpdir(folder, sizeof folder);
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(taken, sizeof taken, "127.0.0.1:%d", daemon.port);
    EXPECT_RUN(1, "Address already in use", "serve", "--no-bootstrap", "--data-dir", data,
               "--listen", taken);
    EXPECT_RUN(1, "expected HOST:PORT", "serve", "--no-bootstrap", "--data-dir", data, "--listen",
               "8080");
    EXPECT_RUN(1, "cannot use address", "serve", "--no-bootstrap", "--data-dir", data, "--listen",
               "127.0.0.1:http!");
    harness_rmdir(folder);
    daemon_stop(&daemon);
}
END_TEST

TEST_PROGRAM("server_config", defaults_are_usable,
             flags_take_a_value_after_a_space_or_an_equals_sign, booleans_are_switched_three_ways,
             a_flag_wins_over_environment_file_and_default, the_environment_can_name_the_file,
             an_unknown_key_names_file_and_line, bad_lines_of_a_file_are_refused,
             an_endless_line_is_refused, bad_flags_are_refused_by_name,
             a_bad_environment_variable_is_refused, a_text_too_long_is_refused,
             help_is_asked_for_by_flag, the_command_line_explains_itself,
             an_address_that_cannot_be_served_is_named)
