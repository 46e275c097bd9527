/* own_server.h - http.h's server in the test's own process, with routes of the test: it defines
 * `routes`, which then stand in for the daemon's. */
#ifndef STRIDED_TESTS_OWN_SERVER_H
#define STRIDED_TESTS_OWN_SERVER_H

#include "app.h"
#include "client.h"
#include "harness.h"
#include "http_listen.h"
#include "router.h"

static struct daemon served; /* only its port */
static struct http_server *server;
/* Without deadlines and limits, as the test has not set any. */
static struct config config = {.http_threads = 2, .work_threads = 2};

static inline void start(void)
{
    static struct app app;
    struct err e = {0};
    int fd = http_listen("127.0.0.1:0", &served.port, &e);
    ck_assert_msg(fd >= 0, "%s", e.detail);
    server = http_start(&config, &app, fd, &e);
    ck_assert_msg(server != NULL, "%s", e.detail);
}

static inline void stop(void)
{
    http_stop(server, 30);
}

#endif
