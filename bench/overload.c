/* overload - sends predictions at a fixed rate, however the daemon answers, and says what became of
 * them. One process, one thread, `connections` kept connections.
 *
 *   overload PORT PATH BODY_FILE RATE SECONDS CONNECTIONS
 *
 * RATE 0: closed loop, each connection sends when it is answered: the daemon's capacity. Otherwise
 * requests fall due at even distances; one that finds no free connection is counted as held back,
 * and its time runs from when it was due. Meanwhile GET /health/live is asked every 20 ms.
 * Prints one line of CSV: rate, seconds, sent, ok, refused (503 with Retry-After), wrong (anything
 * else), ok per second, milliseconds of ok: p50, p99, max; of health: p50, p99, max; held back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 2000, REPLY_BYTES = 1 << 16, HEALTH_MS = 20, SAMPLES_MAX = 1 << 22 };

struct connection {
    int fd;
    bool busy;
    double due; /* of the request in flight, seconds */
    size_t sent, got;
    char reply[REPLY_BYTES];
};

struct times {
    double *list;
    size_t count;
};

static struct {
    int port;
    char *request, *health;
    size_t request_size, health_size;
    double rate, seconds;
    int connection_count, epoll;
    struct connection *connections;
    struct connection *health_connection;
    struct times ok, live;
    long sent, refused, wrong, held_back;
} run;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void keep(struct times *times, double seconds)
{
    if (times->count < SAMPLES_MAX)
        times->list[times->count++] = seconds;
}

/* ---- requests ---- */

static void load_request(const char *path, const char *body_file)
{
    FILE *file = fopen(body_file, "rb");
    if (!file)
        die(body_file);
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    run.request = malloc(size + 1024);
    const int head = snprintf(run.request, 1024,
                              "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: "
                              "application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                              path, size);
    if (fread(run.request + head, 1, size, file) != size)
        die(body_file);
    fclose(file);
    run.request_size = (size_t)head + size;
    run.health = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    run.health_size = strlen(run.health);
}

static void open_connection(struct connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

/* The connection is new or was closed by the daemon, whose right it is. */
static void reopen(struct connection *c)
{
    close(c->fd);
    c->busy = false;
    open_connection(c);
}

static void send_more(struct connection *c)
{
    const bool health = c == run.health_connection;
    const char *request = health ? run.health : run.request;
    const size_t size = health ? run.health_size : run.request_size;
    while (c->busy && c->sent < size) {
        ssize_t n = send(c->fd, request + c->sent, size - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return; /* later, or the reply says why */
        c->sent += (size_t)n;
    }
}

static void begin(struct connection *c, double due)
{
    c->busy = true;
    c->due = due;
    c->sent = c->got = 0;
    send_more(c);
}

/* ---- replies ---- */

static bool is_whole(struct connection *c)
{
    c->reply[c->got] = '\0';
    const char *body = strstr(c->reply, "\r\n\r\n"), *length = strstr(c->reply, "Content-Length: ");
    return body && length && c->got >= (size_t)(body + 4 - c->reply) + (size_t)atol(length + 16);
}

static void count_reply(const struct connection *c)
{
    const double seconds = now_s() - c->due;
    const int status = atoi(c->reply + strlen("HTTP/1.1 "));
    if (c == run.health_connection)
        keep(&run.live, seconds);
    else if (status == 200)
        keep(&run.ok, seconds);
    else if (status == 503 && strstr(c->reply, "\r\nRetry-After: "))
        run.refused++;
    else
        run.wrong++;
}

/* True when the request in flight is answered. */
static bool receive(struct connection *c)
{
    for (;;) {
        ssize_t n = recv(c->fd, c->reply + c->got, REPLY_BYTES - 1 - c->got, 0);
        if (n < 0)
            return false;
        if (n == 0) {
            run.wrong += c->busy && c != run.health_connection;
            reopen(c);
            return false;
        }
        c->got += (size_t)n;
        if (!is_whole(c))
            continue;
        count_reply(c);
        c->busy = false;
        return true;
    }
}

/* ---- the run ---- */

static struct connection *find_free(void)
{
    static int at;
    for (int i = 0; i < run.connection_count; i++) {
        at = (at + 1) % run.connection_count;
        if (!run.connections[at].busy)
            return &run.connections[at];
    }
    return NULL;
}

/* Sends what is due; returns when the next one is. */
static double send_due(double *next, double end)
{
    const double now = now_s();
    while (run.rate > 0 && *next <= now && *next < end) {
        struct connection *c = find_free();
        if (!c) {
            run.held_back++;
            break;
        }
        run.sent++;
        begin(c, *next);
        *next += 1 / run.rate;
    }
    return *next;
}

static void send_health(double *next)
{
    const double now = now_s();
    if (*next > now || run.health_connection->busy)
        return;
    begin(run.health_connection, now);
    *next = now + HEALTH_MS / 1e3;
}

static void on_event(struct connection *c, uint32_t events, bool more)
{
    if (events & EPOLLOUT)
        send_more(c);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && receive(c) && more && run.rate == 0 &&
        c != run.health_connection) {
        run.sent++;
        begin(c, now_s());
    }
}

static bool any_busy(void)
{
    for (int i = 0; i < run.connection_count; i++)
        if (run.connections[i].busy)
            return true;
    return false;
}

/* Until something happens or is due: a whole millisecond would be in every time measured. */
static int wait_for(struct epoll_event *events, int size, double due)
{
    const double now = now_s(), left = due > now ? due - now : 0;
    const struct timespec most = {0, left < 1e-3 ? (long)(left * 1e9) : 1000000};
    return epoll_pwait2(run.epoll, events, size, &most, NULL);
}

static void go(void)
{
    const double start = now_s(), end = start + run.seconds;
    double next = start, next_health = start;
    for (int i = 0; run.rate == 0 && i < run.connection_count; i++, run.sent++)
        begin(&run.connections[i], now_s());
    while (now_s() < end || (any_busy() && now_s() < end + 60)) {
        struct epoll_event events[64];
        const bool more = now_s() < end;
        const double due = send_due(&next, end);
        send_health(&next_health);
        const int count = wait_for(events, 64, more && run.rate > 0 ? due : next_health);
        for (int i = 0; i < count; i++)
            on_event(events[i].data.ptr, events[i].events, more);
    }
}

/* ---- the result ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(struct times *times)
{
    qsort(times->list, times->count, sizeof *times->list, compare);
    for (int i = 0; i < 3; i++) {
        const double part[] = {.5, .99, 1};
        const size_t at = times->count ? (size_t)((double)(times->count - 1) * part[i]) : 0;
        printf(",%.2f", times->count ? times->list[at] * 1e3 : 0.0);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "overload PORT PATH BODY_FILE RATE SECONDS CONNECTIONS\n");
        return 2;
    }
    run.port = atoi(argv[1]);
    run.rate = atof(argv[4]);
    run.seconds = atof(argv[5]);
    run.connection_count = atoi(argv[6]);
    if (run.connection_count < 1 || run.connection_count > CONNECTIONS_MAX)
        return 2;
    load_request(argv[2], argv[3]);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.connections = calloc((size_t)run.connection_count + 1, sizeof *run.connections);
    run.health_connection = &run.connections[run.connection_count];
    run.ok.list = malloc(SAMPLES_MAX * sizeof(double));
    run.live.list = malloc(SAMPLES_MAX * sizeof(double));
    for (int i = 0; i <= run.connection_count; i++)
        open_connection(&run.connections[i]);
    go();
    printf("%.0f,%.1f,%ld,%zu,%ld,%ld,%.1f", run.rate, run.seconds, run.sent, run.ok.count,
           run.refused, run.wrong, (double)run.ok.count / run.seconds);
    print_times(&run.ok);
    print_times(&run.live);
    printf(",%ld\n", run.held_back);
    return 0;
}
