/* libmicrohttpd could accept by itself, but out of descriptors its threads spin, and past its limit
 * on connections clients wait without an answer. */
#include "http_admit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_early.h"
#include "http_exchange.h"
#include "log.h"
#include "metrics.h"

enum { PAUSE_MS = 100, COMPLAIN_EVERY_S = 10 };

struct http_admit {
    struct http_server *server;
    pthread_t thread;
    int wake;  /* an eventfd: the thread shall end */
    int spare; /* given up for a moment when descriptors run out; -1: could not be had again */
    struct timespec complained;
};

static void open_spare(struct http_admit *admit)
{
    admit->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void complain(struct http_admit *admit, int error)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (admit->complained.tv_sec != 0 && now.tv_sec < admit->complained.tv_sec + COMPLAIN_EVERY_S)
        return;
    admit->complained = now;
    log_event(LOG_WARN, "cannot_accept", "detail", strerror(error), NULL);
}

/* Out of descriptors: the client gets an answer with the spare one. Without one, nobody comes in
 * until there are some again; trying at once would spin. */
static void turn_away(struct http_admit *admit)
{
    if (admit->spare >= 0)
        close(admit->spare);
    int fd = accept4(admit->server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        char drop[4096];
        http_early_problem(fd, 503, "too many connections");
        metrics_count(METRICS_CONNECTIONS_REFUSED);
        while (recv(fd, drop, sizeof drop, 0) > 0) /* or the close would be a reset */
            ;
        close(fd);
    }
    open_spare(admit);
    if (fd < 0 || admit->spare < 0)
        poll(NULL, 0, PAUSE_MS);
}

/* False: nothing more to accept now. */
static bool accept_one(struct http_admit *admit)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int fd = accept4(admit->server->listen_fd, (struct sockaddr *)&address, &size,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        http_adopt(admit->server, fd, (struct sockaddr *)&address, size);
        return true;
    }
    int error = errno;
    if (error == EAGAIN || error == EINVAL) /* EINVAL: shut down */
        return false;
    if (error == EINTR || error == ECONNABORTED)
        return true;
    complain(admit, error);
    if (error == EMFILE || error == ENFILE)
        turn_away(admit);
    else
        poll(NULL, 0, PAUSE_MS);
    return false;
}

static bool is_time_to_sweep(struct timespec *last)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long passed_ms = (now.tv_sec - last->tv_sec) * 1000 + (now.tv_nsec - last->tv_nsec) / 1000000;
    if (passed_ms < HTTP_SWEEP_MS)
        return false;
    *last = now;
    return true;
}

static void *run(void *context)
{
    struct http_admit *admit = context;
    struct timespec swept = {0};
    struct pollfd pollers[] = {{.fd = admit->wake, .events = POLLIN},
                               {.fd = admit->server->listen_fd, .events = POLLIN}};
    while (!pollers[0].revents) {
        poll(pollers, 2, HTTP_SWEEP_MS);
        if (pollers[1].revents & (POLLHUP | POLLERR | POLLNVAL))
            pollers[1].fd = -1; /* http_admit_close */
        for (int i = 0; i < 64 && pollers[1].revents && accept_one(admit); i++)
            ;
        if (is_time_to_sweep(&swept)) {
            http_clients_sweep(&admit->server->clients);
            http_stream_sweep(admit->server);
        }
    }
    return NULL;
}

struct http_admit *http_admit_start(struct http_server *server, struct err *e)
{
    struct http_admit *admit = calloc(1, sizeof *admit);
    if (!admit) {
        err_no_memory(e);
        return NULL;
    }
    admit->server = server;
    open_spare(admit);
    admit->wake = eventfd(0, EFD_CLOEXEC);
    int error = admit->wake < 0 ? errno : pthread_create(&admit->thread, NULL, run, admit);
    if (!error)
        return admit;
    err_set(e, ERR_NO_MEMORY, "cannot start a thread: %s", strerror(error));
    if (admit->wake >= 0)
        close(admit->wake);
    if (admit->spare >= 0)
        close(admit->spare);
    free(admit);
    return NULL;
}

void http_admit_close(struct http_admit *admit)
{
    shutdown(admit->server->listen_fd, SHUT_RDWR); /* new ones are refused, not left waiting */
}

void http_admit_free(struct http_admit *admit)
{
    if (!admit)
        return;
    eventfd_write(admit->wake, 1);
    pthread_join(admit->thread, NULL);
    close(admit->wake);
    if (admit->spare >= 0)
        close(admit->spare);
    free(admit);
}
