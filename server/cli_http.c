#include "cli_http.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Its macros of the functions' own names would stand in the table's way. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo

/* The functions of libcurl that are used: from its header only their types. */
/* clang-format off */
#define CURL_FUNCTIONS(X) \
    X(curl_global_init) \
    X(curl_easy_init) \
    X(curl_easy_setopt) \
    X(curl_easy_perform) \
    X(curl_easy_getinfo) \
    X(curl_easy_reset) \
    X(curl_easy_cleanup) \
    X(curl_easy_strerror) \
    X(curl_slist_append) \
    X(curl_slist_free_all) \
    X(curl_mime_init) \
    X(curl_mime_addpart) \
    X(curl_mime_name) \
    X(curl_mime_data) \
    X(curl_mime_filename) \
    X(curl_mime_free)
/* clang-format on */

struct curl_table {
#define MEMBER(name) __typeof__(&name) name;
    CURL_FUNCTIONS(MEMBER)
#undef MEMBER
};

static struct curl_table curl;

enum {
    CONNECT_TIMEOUT_S = 10,
    SILENCE_S = 60, /* of a stream: the daemon says something every 15 s */
    BODY_BYTES_MAX = 1 << 30,
};

struct cli_http {
    CURL *easy;
    char server[256];
    char error[CURL_ERROR_SIZE];
};

/* One request under way. */
struct transfer {
    struct cli_http *http;
    const struct cli_request *request;
    struct cli_reply *reply;
    bool ended; /* by who takes the pieces */
};

/* ---- interrupts ---- */

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupts++;
}

void cli_interrupts_catch(void)
{
    const struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

int cli_interrupts(void)
{
    return interrupts;
}

/* ---- libcurl ---- */

static bool load_curl(struct err *e)
{
    static const char *const files[] = {"libcurl-gnutls.so.4", "libcurl.so.4", NULL};
    void *library = NULL;
    for (int i = 0; !library && files[i]; i++)
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(e, ERR_UNAVAILABLE,
                       "libcurl cannot be loaded (Debian: apt-get install libcurl3-gnutls): %s",
                       dlerror());
    void *symbol;
    /* POSIX lets a function's address travel as a void pointer, ISO C only by its bytes. */
#define LOAD(name)                                                        \
    if (!(symbol = dlsym(library, #name)))                                \
        return err_set(e, ERR_UNAVAILABLE, "libcurl has no '%s'", #name); \
    memcpy(&curl.name, &symbol, sizeof symbol);
    CURL_FUNCTIONS(LOAD)
#undef LOAD
    return curl.curl_global_init(CURL_GLOBAL_DEFAULT) == 0 ||
           err_set(e, ERR_UNAVAILABLE, "libcurl does not start");
}

struct cli_http *cli_http_new(const char *server, struct err *e)
{
    if (!load_curl(e))
        return NULL;
    struct cli_http *http = calloc(1, sizeof *http);
    if (!http || !(http->easy = curl.curl_easy_init())) {
        free(http);
        err_no_memory(e);
        return NULL;
    }
    const char *scheme = strstr(server, "://") ? "" : "http://";
    size_t size = strlen(server);
    while (size > 0 && server[size - 1] == '/')
        size--;
    if (size + strlen(scheme) < sizeof http->server) {
        snprintf(http->server, sizeof http->server, "%s%.*s", scheme, (int)size, server);
        return http;
    }
    err_field(e, ERR_INVALID, "--server", "address is longer than %zu bytes",
              sizeof http->server - 1);
    cli_http_free(http);
    return NULL;
}

void cli_http_free(struct cli_http *http)
{
    if (!http)
        return;
    curl.curl_easy_cleanup(http->easy);
    free(http);
}

/* ---- one request ---- */

static size_t on_piece(char *bytes, size_t one, size_t size, void *context)
{
    struct transfer *t = context;
    long status = 0;
    (void)one;
    curl.curl_easy_getinfo(t->http->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->request->piece && status == 200) {
        t->ended = !t->request->piece(t->request->context, bytes, size);
        return t->ended ? 0 : size;
    }
    buf_add(&t->reply->body, bytes, size);
    return buf_ok(&t->reply->body) && t->reply->body.size <= BODY_BYTES_MAX ? size : 0;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return interrupts > *(const int *)context;
}

/* *list is to be freed also on failure. */
static bool make_headers(const char *const *headers, struct curl_slist **list, struct err *e)
{
    for (; headers && *headers; headers++) {
        struct curl_slist *longer = curl.curl_slist_append(*list, *headers);
        if (!longer)
            return err_no_memory(e);
        *list = longer;
    }
    return true;
}

static bool add_part(curl_mime *mime, const struct cli_part *from)
{
    curl_mimepart *part = curl.curl_mime_addpart(mime);
    return part && curl.curl_mime_name(part, "file") == CURLE_OK &&
           curl.curl_mime_filename(part, from->name) == CURLE_OK &&
           curl.curl_mime_data(part, from->bytes, from->size) == CURLE_OK;
}

/* *mime is to be freed also on failure. */
static bool make_parts(CURL *easy, const struct cli_request *request, curl_mime **mime,
                       struct err *e)
{
    if (request->part_count == 0)
        return true;
    *mime = curl.curl_mime_init(easy);
    bool ok = *mime != NULL;
    for (int i = 0; ok && i < request->part_count; i++)
        ok = add_part(*mime, &request->parts[i]);
    return ok || err_no_memory(e);
}

static void set_options(struct transfer *t, const char *url, int *interrupts_before)
{
    CURL *easy = t->http->easy;
    curl.curl_easy_reset(easy);
    curl.curl_easy_setopt(easy, CURLOPT_URL, url);
    curl.curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, t->request->method);
    curl.curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl.curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->http->error);
    curl.curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl.curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_piece);
    curl.curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl.curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl.curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl.curl_easy_setopt(easy, CURLOPT_XFERINFODATA, interrupts_before);
    if (t->request->piece) {
        curl.curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl.curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    }
}

static bool perform(struct transfer *t, struct err *e)
{
    long status = 0;
    t->http->error[0] = '\0';
    const CURLcode code = curl.curl_easy_perform(t->http->easy);
    curl.curl_easy_getinfo(t->http->easy, CURLINFO_RESPONSE_CODE, &status);
    t->reply->status = (int)status;
    if (code == CURLE_OK || t->ended)
        return true;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(e, ERR_CANCELLED, "interrupted");
    return err_set(e, code == CURLE_COULDNT_CONNECT ? ERR_UNAVAILABLE : ERR_IO,
                   "no answer from '%s': %s", t->http->server,
                   t->http->error[0] ? t->http->error : curl.curl_easy_strerror(code));
}

bool cli_http_send(struct cli_http *http, const struct cli_request *request,
                   struct cli_reply *reply, struct err *e)
{
    struct transfer t = {.http = http, .request = request, .reply = reply};
    char url[1024];
    int before = interrupts;
    *reply = (struct cli_reply){0};
    if ((size_t)snprintf(url, sizeof url, "%s%s", http->server, request->path) >= sizeof url)
        return err_set(e, ERR_INVALID, "path is too long");
    set_options(&t, url, &before);
    struct curl_slist *headers = NULL;
    curl_mime *mime = NULL;
    bool ok =
        make_headers(request->headers, &headers, e) && make_parts(http->easy, request, &mime, e);
    if (headers)
        curl.curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);
    if (mime)
        curl.curl_easy_setopt(http->easy, CURLOPT_MIMEPOST, mime);
    else if (request->body)
        curl.curl_easy_setopt(http->easy, CURLOPT_POSTFIELDS, request->body);
    ok = ok && perform(&t, e);
    curl.curl_mime_free(mime);
    curl.curl_slist_free_all(headers);
    if (!ok)
        cli_reply_clear(reply);
    return ok;
}

void cli_reply_clear(struct cli_reply *reply)
{
    buf_clear(&reply->body);
    *reply = (struct cli_reply){0};
}
