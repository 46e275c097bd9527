/* client.h - a real daemon for one test, and the requests that a test sends it (libcurl, or bytes
 * on a socket for what libcurl would not send). Every failure of the helper fails the test. */
#ifndef STRIDED_TESTS_CLIENT_H
#define STRIDED_TESTS_CLIENT_H

#include <stddef.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;
    int port;
    char folder[256];   /* of this test; removed by daemon_stop */
    char data_dir[300]; /* <folder>/data */
    char log[300];      /* <folder>/log: the daemon's standard error */
};

/* Starts STRIDED_BINARY, or ../strided seen from the test program, with `serve --no-bootstrap
 * --listen 127.0.0.1:0` on a fresh data folder and `flags` (NULL-terminated, or NULL), and waits
 * for its ready line. It dies with the test. */
void daemon_start(struct daemon *daemon, const char *const *flags);
/* SIGTERM, expects exit status 0, removes the folder. */
void daemon_stop(struct daemon *daemon);
/* In two steps, for tests of what happens in between; and a start again on the same data. */
void daemon_terminate(struct daemon *daemon);
void daemon_wait(struct daemon *daemon);
void daemon_restart(struct daemon *daemon, const char *const *flags);
/* Only the start, of a daemon that has ended, on the same data. */
void daemon_launch(struct daemon *daemon, const char *const *flags);
/* The daemon's log so far; the caller frees. */
char *daemon_log(const struct daemon *daemon);

/* The program under test. */
const char *client_binary(void);
/* Runs the binary with these arguments (NULL-terminated) to its end; returns the exit status and
 * its standard output and error together in *output, which the caller frees. */
int client_run(const char *const *arguments, char **output);

struct reply {
    int status;
    char *headers; /* as received, NUL-terminated */
    char *body;    /* NUL-terminated */
    size_t size;
};

/* headers: NULL-terminated "Name: value" lines, or NULL. body NULL: none. */
struct reply client_send(const struct daemon *daemon, const char *method, const char *path,
                         const char *const *headers, const void *body, size_t size);
struct reply client_get(const struct daemon *daemon, const char *path);
/* A text body, without a content type of its own. */
struct reply client_post(const struct daemon *daemon, const char *path, const char *body);
/* The value of a header, in storage of the thread's own; NULL if absent. */
const char *reply_header(const struct reply *reply, const char *name);
void reply_clear(struct reply *reply);
/* Fails the test unless the reply is a problem document of this status whose detail contains
 * `detail`; clears it. */
void reply_expect_problem(struct reply *reply, int status, const char *detail);

/* A socket to the daemon. */
int client_connect(const struct daemon *daemon);
void client_write(int fd, const void *bytes, size_t size); /* may be cut short by a reset */
/* Everything until the daemon closes, NUL-terminated; the caller frees. Closes fd. */
char *client_read_all(int fd, size_t *size);
/* The three in one, for a text. */
char *client_raw(const struct daemon *daemon, const char *bytes, size_t size);
/* Sends a head alone; fails the test unless one problem document of this status, with `detail` in
 * it, comes back and the connection is closed. */
void client_expect_refusal(const struct daemon *daemon, const char *head, int status,
                           const char *detail);

#endif
