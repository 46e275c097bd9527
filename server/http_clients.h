/* http_clients.h - the open connections: how many there may be, and how long each may take.
 *
 * Each phase of a connection has a deadline, absolute from its begin, however many bytes trickle
 * in (settings of config.h; 0 = none):
 *
 *   idle   head_timeout_s from its opening for the first request line, idle_timeout_s for others
 *   head   head_timeout_s; of the first request counted from the opening
 *   body   body_timeout_s, and a second more for each min_rate bytes that have come
 *   work   none: the request is ours, or a stream sleeps
 *   send   send_timeout_s, and a second more for each min_rate bytes of the reply
 *
 * http_clients_sweep cuts who is late by shutting the socket down, which wakes the connection's
 * HTTP thread; that one does the rest. Who comes first, the sweep or the HTTP thread entering the
 * next phase, is decided by one atomic word a connection.
 */
#ifndef STRIDED_HTTP_CLIENTS_H
#define STRIDED_HTTP_CLIENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"

enum { HTTP_SWEEP_MS = 250 };

struct http_clients {
    const struct config *config;
    int limit;             /* of connections: the setting, or what leaves descriptors for files */
    pthread_mutex_t mutex; /* guards what follows; a client's own HTTP thread uses the rest of it */
    struct client *first;
    int refused; /* since this was last logged, at reported_us */
    uint64_t reported_us;
    atomic_int count; /* refused ones are not counted; read without the mutex too */
};

enum client_phase {
    CLIENT_IDLE,
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WORK,
    CLIENT_SEND,
    CLIENT_REFUSED
};

struct client {
    struct http_clients *all;
    struct client *next, **link; /* in all->first */
    struct exchange *current;    /* its request, NULL: none */
    void *kept;                  /* memory for it, from malloc; NULL: none yet */
    int fd;
    bool refused; /* past a limit on connections */
    bool used;    /* a request line has come */
    unsigned char address[16];
    char remote[80];
    uint64_t opened_us, body_us;
    int sweeps_since_cut;      /* the sweep's own */
    atomic_int heard;          /* enum heard: something has come since the last sweep */
    atomic_bool half_closed;   /* the end of its stream came with that, or soon after */
    atomic_uint_least64_t due; /* phase and deadline, or that it has been cut */
};

/* config is borrowed. */
void http_clients_init(struct http_clients *all, const struct config *config);
void http_clients_destroy(struct http_clients *all);

/* NULL: out of memory. client->refused: there are enough, the caller answers and ends it. */
struct client *client_open(struct http_clients *all, int fd, const struct sockaddr *address);
/* Before the socket is closed. */
void client_close(struct client *client);
/* HTTP thread: the next phase begins; bytes: of the reply to be sent. False: too late, the client
 * has been cut. */
bool client_enter(struct client *client, enum client_phase phase, uint64_t bytes);
/* `bytes` of the body have come in all. */
void client_body_grew(struct client *client, uint64_t bytes);
bool client_was_cut(const struct client *client);
/* Something came. libmicrohttpd 0.9.75 waits edge-triggered and takes a short read for an empty
 * socket: when the client's end of stream came along with its last bytes, it does not notice. The
 * next sweep looks, and shuts the direction that has ended already, which raises the event again.
 */
void client_heard(struct client *client);
/* Whether it has gone away. One system call. A client may shut its sending side alone and still
 * read, which looks the same until something is sent; but such a client does it with its request.
 * So who did it before a sweep came by is taken to read on, unless it resets the connection. */
bool client_has_left(const struct client *client);

void http_clients_sweep(struct http_clients *all);

#endif
