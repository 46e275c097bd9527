#include "http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Splits "host:port"; brackets around an IPv6 address are dropped, no host is "". */
static bool split(const char *address, char *host, size_t host_size, const char **port,
                  struct err *e)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    if (!colon || colon[1] == '\0' || size >= host_size)
        return err_field(e, ERR_INVALID, "listen", "expected HOST:PORT, got '%s'", address);
    bool bracketed = size >= 2 && address[0] == '[' && address[size - 1] == ']';
    snprintf(host, host_size, "%.*s", (int)(bracketed ? size - 2 : size),
             bracketed ? address + 1 : address);
    *port = colon + 1;
    return true;
}

/* Connections inherit these: a client that vanishes without a word (its power, its network) while
 * it waits for an answer or an event is found out after 90 s. */
static bool set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_REUSEADDR, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 60}, {IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value) != 0)
            return false;
    return true;
}

static int listen_on(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    info->ai_protocol);
    if (fd < 0)
        return -1;
    if (set_options(fd) && bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int http_listen(const char *address, int *port, struct err *e)
{
    char host[128];
    const char *service = NULL;
    if (!split(address, host, sizeof host, &service, e))
        return -1;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host[0] ? host : NULL, service, &hints, &found);
    if (error) {
        err_field(e, ERR_INVALID, "listen", "cannot use address '%s': %s", address,
                  gai_strerror(error));
        return -1;
    }
    int fd = listen_on(found);
    freeaddrinfo(found);
    if (fd < 0)
        err_field(e, ERR_IO, "listen", "cannot listen on '%s': %s", address, strerror(errno));
    else
        *port = bound_port(fd);
    return fd;
}
