#include "http_early.h"

#include <sys/socket.h>

#include "http_id.h"
#include "http_problem.h"

bool http_early_send(int fd, const struct http_response *r, const char *request_id)
{
    struct buf text = {0};
    buf_fmt(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", r->status,
            http_status_title(r->status), r->body.size);
    buf_fmt(&text, "Content-Type: %s\r\nX-Request-Id: %s\r\n", r->content_type, request_id);
    for (int i = 0; i < r->header_count; i++)
        buf_fmt(&text, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    buf_str(&text, "\r\n");
    buf_add(&text, r->body.data, r->body.size);
    bool sent = buf_ok(&text) &&
                send(fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text.size;
    buf_clear(&text);
    return sent && shutdown(fd, SHUT_WR) == 0;
}

void http_early_problem(int fd, int status, const char *detail)
{
    struct http_response response;
    struct err e = {0};
    char id[HTTP_ID_BYTES + 1];
    http_id_choose(NULL, id);
    http_response_init(&response);
    err_set(&e, ERR_INVALID, "%s", detail);
    http_problem(&response, status, &e, id);
    http_early_send(fd, &response, id);
    http_response_clear(&response);
}
