/* one_daemon.h - one daemon a test, and short ways to talk to it; for the tests of HTTP itself. */
#ifndef STRIDED_TESTS_ONE_DAEMON_H
#define STRIDED_TESTS_ONE_DAEMON_H

#include <string.h>

#include "client.h"
#include "harness.h"

static struct daemon served;

static inline void start(void)
{
    daemon_start(&served, NULL);
}

/* The daemon is still there, and stops well. */
static inline void stop(void)
{
    struct reply reply = client_get(&served, "/health/live");
    ck_assert_int_eq(reply.status, 200);
    reply_clear(&reply);
    daemon_stop(&served);
}

static inline void expect_body(struct reply *reply, int status, const char *text)
{
    ck_assert_msg(reply->status == status, "status %d: %s", reply->status, reply->body);
    ck_assert_msg(strstr(reply->body, text) != NULL, "'%s' not in: %s", text, reply->body);
    reply_clear(reply);
}

static inline struct reply send_with(const char *method, const char *path, const char *header,
                                     const void *body, size_t size)
{
    return client_send(&served, method, path, (const char *const[]){header, NULL}, body, size);
}

#endif
