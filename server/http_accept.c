/* http_accept.c - content negotiation by the Accept header (RFC 9110, section 12.5.1). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http.h"

/* How well the header likes one offer: the q of the most specific range that matches it. */
struct preference {
    double q;
    int specificity; /* 0 no match, 1 any type, 2 any subtype, 3 the type itself */
    int position;    /* of the range in the header */
};

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t");
}

/* 0 when the range (size bytes of it, without parameters) does not match the offer. */
static int range_specificity(const char *range, size_t size, const char *offer)
{
    size_t type = strcspn(offer, "/") + 1;
    if (size == 3 && memcmp(range, "*/*", 3) == 0)
        return 1;
    if (size == type + 1 && range[type] == '*' && strncasecmp(range, offer, type) == 0)
        return 2;
    if (size == strlen(offer) && strncasecmp(range, offer, size) == 0)
        return 3;
    return 0;
}

/* The q parameter of one range; what is not a number from 0 to 1 counts as 1. */
static double range_quality(const char *parameters, const char *end)
{
    for (const char *at = parameters; at < end && *at == ';'; at += strcspn(at, ";,")) {
        at = skip_space(at + 1);
        if ((at[0] != 'q' && at[0] != 'Q') || at[1] != '=')
            continue;
        char *stop;
        double q = strtod(at + 2, &stop);
        return stop > at + 2 && q >= 0 && q <= 1 ? q : 1;
    }
    return 1;
}

static struct preference preference_for(const char *accept, const char *offer)
{
    struct preference found = {0};
    int position = 0;
    for (const char *at = accept; *at != '\0'; position++) {
        at = skip_space(at);
        size_t size = strcspn(at, ";, \t");
        const char *parameters = skip_space(at + size);
        const char *end = at + strcspn(at, ",");
        int specificity = range_specificity(at, size, offer);
        if (specificity > found.specificity)
            found = (struct preference){range_quality(parameters, end), specificity, position};
        at = *end == ',' ? end + 1 : end;
    }
    return found;
}

static bool better(struct preference a, struct preference b)
{
    if (a.q != b.q)
        return a.q > b.q;
    if (a.specificity != b.specificity)
        return a.specificity > b.specificity;
    return a.specificity == 3 && a.position < b.position;
}

int http_accept(const struct http_request *request, const char *const *offers)
{
    if (!request->accept || *skip_space(request->accept) == '\0')
        return 0;
    int chosen = -1;
    struct preference best = {0};
    for (int i = 0; offers[i]; i++) {
        struct preference p = preference_for(request->accept, offers[i]);
        if (p.q > 0 && (chosen < 0 || better(p, best))) {
            chosen = i;
            best = p;
        }
    }
    return chosen;
}
