#include "http_clients.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "log.h"
#include "metrics.h"

enum { SECOND_US = 1000000, REFUSED_S = 2, CUT_AGAIN = 4, REPORT_EVERY_S = 10, PHASE_BITS = 3 };

enum heard { QUIET, HEARD, LOOKED_AT };

/* client->due: the deadline in microseconds (0: none) above the phase; or CUT. */
static const uint64_t CUT = UINT64_MAX;

/* To a few milliseconds, cheaply: deadlines are whole seconds. */
static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000;
}

/* A quarter of the descriptors stays for datasets, models, bodies and workers. */
static int connection_limit(const struct config *config)
{
    struct rlimit descriptors;
    int limit = config->connections > 0 ? config->connections : INT_MAX;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0 && descriptors.rlim_cur / 4 * 3 < (rlim_t)limit)
        limit = (int)(descriptors.rlim_cur / 4 * 3);
    return limit;
}

void http_clients_init(struct http_clients *all, const struct config *config)
{
    *all = (struct http_clients){.config = config, .limit = connection_limit(config)};
    pthread_mutex_init(&all->mutex, NULL);
}

void http_clients_destroy(struct http_clients *all)
{
    pthread_mutex_destroy(&all->mutex);
}

/* ---- who ---- */

/* The address as 16 bytes; of IPv6 the network's half, all of which one client can have. */
static void set_address(struct client *client, const struct sockaddr *address)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (address->sa_family == AF_INET) {
        memcpy(client->address, mapped, sizeof mapped);
        memcpy(client->address + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        const unsigned char *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;
        memcpy(client->address, bytes, memcmp(bytes, mapped, sizeof mapped) == 0 ? 16 : 8);
    }
}

static void set_remote(struct client *client, const struct sockaddr *address)
{
    char host[48] = "", port[8] = "";
    bool v6 = address->sa_family == AF_INET6;
    socklen_t size = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(client->remote, sizeof client->remote, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Whether `limit` others have the client's address already. */
static bool address_is_full(const struct client *client, int limit)
{
    for (const struct client *other = client->all->first; other && limit > 0; other = other->next)
        if (!other->refused && memcmp(other->address, client->address, 16) == 0)
            limit--;
    return limit == 0;
}

static void list_add(struct client *client)
{
    struct http_clients *all = client->all;
    int per_address = all->config->connections_per_address;
    pthread_mutex_lock(&all->mutex);
    client->refused =
        all->count >= all->limit || (per_address > 0 && address_is_full(client, per_address));
    all->count += !client->refused;
    all->refused += client->refused;
    client->next = all->first;
    client->link = &all->first;
    if (client->next)
        client->next->link = &client->next;
    all->first = client;
    pthread_mutex_unlock(&all->mutex);
    if (client->refused)
        metrics_count(METRICS_CONNECTIONS_REFUSED);
}

struct client *client_open(struct http_clients *all, int fd, const struct sockaddr *address)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->all = all;
    client->fd = fd;
    client->opened_us = now_us();
    set_address(client, address);
    set_remote(client, address);
    client_heard(client);
    client_enter(client, CLIENT_IDLE, 0);
    list_add(client);
    metrics_connection(+1);
    if (client->refused)
        client_enter(client, CLIENT_REFUSED, 0);
    return client;
}

void client_close(struct client *client)
{
    struct http_clients *all = client->all;
    pthread_mutex_lock(&all->mutex);
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    all->count -= !client->refused;
    pthread_mutex_unlock(&all->mutex);
    metrics_connection(-1);
    free(client->kept);
    free(client);
}

/* ---- how long ---- */

/* timeout_s 0: no deadline. */
static uint64_t after(uint64_t begin_us, int timeout_s)
{
    return timeout_s > 0 ? begin_us + (uint64_t)timeout_s * SECOND_US : 0;
}

static uint64_t after_bytes(const struct client *client, uint64_t begin_us, int timeout_s,
                            uint64_t bytes)
{
    int rate = client->all->config->min_rate;
    uint64_t seconds = rate > 0 ? bytes / (uint64_t)rate : 0;
    return timeout_s > 0 ? after(begin_us, timeout_s) + seconds * SECOND_US : 0;
}

static uint64_t deadline(const struct client *client, enum client_phase phase, uint64_t now,
                         uint64_t bytes)
{
    const struct config *c = client->all->config;
    switch (phase) {
    case CLIENT_IDLE:
        return client->used ? after(now, c->idle_timeout_s)
                            : after(client->opened_us, c->head_timeout_s);
    case CLIENT_HEAD:
        return after(client->used ? now : client->opened_us, c->head_timeout_s);
    case CLIENT_BODY:
        return after(now, c->body_timeout_s);
    case CLIENT_SEND:
        return after_bytes(client, now, c->send_timeout_s, bytes);
    case CLIENT_REFUSED:
        return after(now, REFUSED_S);
    default:
        return 0;
    }
}

static bool set_due(struct client *client, enum client_phase phase, uint64_t deadline_us)
{
    uint64_t due = deadline_us << PHASE_BITS | phase;
    if (atomic_exchange(&client->due, due) != CUT)
        return true;
    atomic_store(&client->due, CUT);
    return false;
}

bool client_enter(struct client *client, enum client_phase phase, uint64_t bytes)
{
    uint64_t now = phase == CLIENT_WORK ? 0 : now_us();
    uint64_t deadline_us = deadline(client, phase, now, bytes);
    if (phase == CLIENT_HEAD)
        client->used = true;
    if (phase == CLIENT_BODY)
        client->body_us = now;
    return set_due(client, phase, deadline_us);
}

void client_body_grew(struct client *client, uint64_t bytes)
{
    int timeout_s = client->all->config->body_timeout_s;
    set_due(client, CLIENT_BODY, after_bytes(client, client->body_us, timeout_s, bytes));
}

bool client_was_cut(const struct client *client)
{
    return atomic_load(&client->due) == CUT;
}

void client_heard(struct client *client)
{
    atomic_store_explicit(&client->heard, HEARD, memory_order_relaxed);
}

/* half: it has sent its last byte, and that is all there is to be seen. */
static bool has_ended(int fd, bool *half)
{
    struct pollfd poller = {.fd = fd, .events = POLLRDHUP};
    bool ended = poll(&poller, 1, 0) == 1;
    *half = ended && !(poller.revents & (POLLERR | POLLHUP | POLLNVAL));
    return ended;
}

bool client_has_left(const struct client *client)
{
    bool half;
    if (!has_ended(client->fd, &half))
        return false;
    bool reads_on = atomic_load(&client->heard) != QUIET || atomic_load(&client->half_closed);
    return !half || !reads_on;
}

/* ---- the sweep ---- */

static void repeat_lost_end(struct client *client)
{
    bool half;
    int heard = HEARD;
    if (!atomic_compare_exchange_strong(&client->heard, &heard, LOOKED_AT))
        return;
    if (has_ended(client->fd, &half) && half) {
        atomic_store(&client->half_closed, true);
        shutdown(client->fd, SHUT_RD);
    }
    heard = LOOKED_AT;
    atomic_compare_exchange_strong(&client->heard, &heard, QUIET);
}

/* A request that is still to come can be answered yet, so our side stays open. But where bytes come
 * all the time the HTTP thread may read them and never see the end: it is told again, and at last
 * both sides are shut. */
static void cut_if_late(struct client *client, uint64_t now)
{
    uint64_t due = atomic_load(&client->due);
    uint64_t deadline_us = due >> PHASE_BITS;
    enum client_phase phase = due & ((1 << PHASE_BITS) - 1);
    if (due == CUT)
        shutdown(client->fd, ++client->sweeps_since_cut > CUT_AGAIN ? SHUT_RDWR : SHUT_RD);
    else if (deadline_us > 0 && now >= deadline_us &&
             atomic_compare_exchange_strong(&client->due, &due, CUT)) {
        shutdown(client->fd, phase >= CLIENT_SEND ? SHUT_RDWR : SHUT_RD);
        if (phase != CLIENT_IDLE)
            metrics_count(METRICS_CONNECTIONS_CUT);
    }
}

static void report_refused(struct http_clients *all, uint64_t now)
{
    char count[16];
    if (all->refused == 0 || now < all->reported_us + REPORT_EVERY_S * (uint64_t)SECOND_US)
        return;
    snprintf(count, sizeof count, "%d", all->refused);
    log_event(LOG_WARN, "connections_refused", "count", count, NULL);
    all->reported_us = now;
    all->refused = 0;
}

void http_clients_sweep(struct http_clients *all)
{
    uint64_t now = now_us();
    pthread_mutex_lock(&all->mutex);
    report_refused(all, now);
    for (struct client *client = all->first; client; client = client->next) {
        repeat_lost_end(client);
        cut_if_late(client, now);
    }
    pthread_mutex_unlock(&all->mutex);
}
