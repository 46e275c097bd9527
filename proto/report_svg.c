/* report_svg.c - a confusion matrix as a heat map; stands alone, no script, no font of its own. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum {
    COUNTS_CLASSES_MAX = 40, /* with more, cells carry no counts */
    LABEL_CHARS_MAX = 24,    /* of a label beside the map; its tooltip has the rest */
    CHAR_PX = 7,             /* an average character of the 12 px font */
    FONT_PX = 12,
    UPRIGHT_BYTES = 2, /* longer labels above their columns are turned */
    PAD_PX = 12,
};

struct layout {
    double cell;          /* px of one side */
    double left, top;     /* of the map */
    double width, height; /* of the picture */
    double scale;         /* value of the darkest cell */
    const uint64_t *divisors;
};

/* Text as XML 1.0 takes it: no control characters, no broken UTF-8, no U+FFFE and U+FFFF. At most
 * chars_max characters, then an ellipsis. */
static void add_text(struct buf *out, const char *text, size_t chars_max)
{
    size_t size = strlen(text);
    for (size_t at = 0, chars = 0; at < size; chars++) {
        size_t length = utf8_next(text + at, size - at);
        const char *p = text + at;
        if (chars == chars_max) {
            buf_str(out, "\xe2\x80\xa6");
            return;
        }
        if (length == 0 || (unsigned char)*p < 0x20 || *p == 0x7f ||
            (length == 3 && (!memcmp(p, "\xef\xbf\xbe", 3) || !memcmp(p, "\xef\xbf\xbf", 3))))
            buf_str(out, "\xef\xbf\xbd");
        else if (*p == '&')
            buf_str(out, "&amp;");
        else if (*p == '<')
            buf_str(out, "&lt;");
        else if (*p == '>')
            buf_str(out, "&gt;");
        else if (*p == '"')
            buf_str(out, "&quot;");
        else
            buf_add(out, p, length);
        at += length ? length : 1;
    }
}

static size_t label_chars(const char *label)
{
    size_t chars = 0;
    for (size_t at = 0, size = strlen(label); at < size; chars++) {
        size_t length = utf8_next(label + at, size - at);
        at += length ? length : 1;
    }
    return chars < LABEL_CHARS_MAX ? chars : LABEL_CHARS_MAX + 1;
}

static struct layout layout_of(const struct report_confusion *c, const uint64_t *divisors)
{
    size_t longest = 1;
    struct layout l = {.divisors = divisors, .scale = divisors ? 1 : 0};
    for (int i = 0; i < c->classes; i++) {
        size_t chars = label_chars(c->labels[i]);
        longest = chars > longest ? chars : longest;
    }
    for (int i = 0; !divisors && i < c->classes; i++)
        for (int k = 0; k < c->classes; k++)
            l.scale = fmax(l.scale, report_confusion_cell(c, NULL, i, k));
    l.scale = l.scale > 0 ? l.scale : 1;
    l.cell = c->classes <= 12 ? 48 : c->classes <= COUNTS_CLASSES_MAX ? 34 : 14;
    double labels = (double)(longest * CHAR_PX);
    l.left = PAD_PX + FONT_PX * 2 + labels + PAD_PX;
    l.top = PAD_PX + (c->title ? FONT_PX * 2 : 0) + FONT_PX * 2 + labels + PAD_PX;
    l.width = l.left + l.cell * c->classes + PAD_PX;
    l.height = l.top + l.cell * c->classes + PAD_PX;
    return l;
}

static void add_head(struct buf *out, const struct report_confusion *c, const struct layout *l)
{
    buf_fmt(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"%d\" role=\"img\">\n",
            l->width, l->height, l->width, l->height, FONT_PX);
    buf_str(out, "<title>");
    add_text(out, c->title ? c->title : "confusion matrix", SIZE_MAX);
    buf_str(out, "</title>\n");
    buf_fmt(out, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n", l->width, l->height);
    if (c->title) {
        buf_fmt(out, "<text x=\"%d\" y=\"%d\" font-size=\"%d\" font-weight=\"bold\">", PAD_PX,
                PAD_PX + FONT_PX, FONT_PX + 2);
        add_text(out, c->title, 80);
        buf_str(out, "</text>\n");
    }
    double middle = l->cell * c->classes / 2, x = PAD_PX + FONT_PX, y = l->top + middle;
    buf_fmt(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">predicted</text>\n",
            l->left + middle, PAD_PX + FONT_PX + (c->title ? FONT_PX * 2 : 0));
    buf_fmt(out,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
            "transform=\"rotate(-90 %.1f %.1f)\">actual</text>\n",
            x, y, x, y);
}

/* A predicted class above its column: upright, unless there is no room across. */
static void add_column_label(struct buf *out, const char *label, const struct layout *l, int column)
{
    double middle = l->left + l->cell * (column + 0.5), y = l->top - 6;
    double x = middle + FONT_PX / 3.0;
    if (strlen(label) <= UPRIGHT_BYTES && l->cell >= UPRIGHT_BYTES * FONT_PX)
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", middle, y);
    else
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" transform=\"rotate(-90 %.1f %.1f)\">", x, y, x,
                y);
    add_text(out, label, LABEL_CHARS_MAX);
    buf_str(out, "</text>\n");
}

/* The actual class on the left, the predicted one above. */
static void add_labels(struct buf *out, const struct report_confusion *c, const struct layout *l)
{
    for (int i = 0; i < c->classes; i++) {
        double middle = l->cell * (i + 0.5) + FONT_PX / 3.0;
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\"><title>", l->left - 6,
                l->top + middle);
        add_text(out, c->labels[i], SIZE_MAX);
        buf_str(out, "</title>");
        add_text(out, c->labels[i], LABEL_CHARS_MAX);
        buf_str(out, "</text>\n");
        add_column_label(out, c->labels[i], l, i);
    }
}

/* White to a dark blue, by the share of the darkest cell. */
static void add_cell(struct buf *out, const struct report_confusion *c, const struct layout *l,
                     int actual, int predicted)
{
    double value = report_confusion_cell(c, l->divisors, actual, predicted);
    double share = value / l->scale, x = l->left + l->cell * predicted,
           y = l->top + l->cell * actual;
    int red = (int)(255 - share * (255 - 8)), green = (int)(255 - share * (255 - 48)),
        blue = (int)(255 - share * (255 - 107));
    if (value > 0)
        buf_fmt(out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                "fill=\"#%02x%02x%02x\"/>\n",
                x, y, l->cell, l->cell, red, green, blue);
    if (c->classes > COUNTS_CLASSES_MAX)
        return;
    buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"%s\">", x + l->cell / 2,
            y + l->cell / 2 + FONT_PX / 3.0, share > 0.5 ? "#fff" : "#000");
    buf_fmt(out, l->divisors ? "%.2f</text>\n" : "%.0f</text>\n", value);
}

void report_confusion_svg(struct buf *out, const struct report_confusion *c)
{
    uint64_t *divisors;
    if (!report_confusion_divisors(c, &divisors)) {
        out->failed = true;
        return;
    }
    struct layout l = layout_of(c, divisors);
    double side = l.cell * c->classes;
    add_head(out, c, &l);
    add_labels(out, c, &l);
    for (int actual = 0; actual < c->classes; actual++)
        for (int predicted = 0; predicted < c->classes; predicted++)
            add_cell(out, c, &l, actual, predicted);
    buf_fmt(out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#888\"/>\n</svg>\n",
            l.left, l.top, side, side);
    free(divisors);
}
