/* report_svg.c - a confusion matrix as a heat map; stands alone, no script, no font of its own. */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum {
    COUNTS_CLASSES_MAX = 40, /* with more, only a cell's tooltip tells its count */
    LARGE_PX = 48,           /* side of a cell where there are few */
    FONT_PX = 12,
    TITLE_PX = 14,
    LABEL_PX_MAX = 180, /* of a label beside the map; its tooltip has the rest */
    UPRIGHT_PX = 32,    /* longer labels above the columns are turned */
    TITLE_PX_MAX = 720,
    LEGEND_PX = 320, /* its longest text */
    PAD_PX = 12,
    LINE_PX = 24, /* from one line of the heading to the next */
};

struct layout {
    double cell;          /* px of one side */
    double left, top;     /* of the map */
    double width, height; /* of the picture */
    double scale;         /* value of the darkest cell */
    bool upright;         /* labels above the columns */
    uint64_t total;       /* samples */
    uint64_t right;
    const uint64_t *divisors;
};

/* White, the middle and the dark end of a ramp. */
static const unsigned char blues[3][3] = {{255, 255, 255}, {107, 174, 214}, {8, 48, 107}};
static const unsigned char oranges[3][3] = {{255, 255, 255}, {253, 141, 60}, {127, 39, 4}};

/* About what a character takes: those of East Asian scripts are square. */
static double char_px(const char *at, size_t length, int font_px)
{
    bool square = length == 4 || (length == 3 && (unsigned char)*at >= 0xe3);
    return square ? font_px + 1 : font_px * 0.625;
}

/* Text as XML 1.0 takes it: no control characters, no broken UTF-8, no U+FFFE and U+FFFF. Past
 * px_max (0: none) an ellipsis. */
static void add_text(struct buf *out, const char *text, int font_px, double px_max)
{
    size_t size = strlen(text);
    double px = 0;
    for (size_t at = 0; at < size;) {
        size_t length = utf8_next(text + at, size - at);
        const char *p = text + at;
        px += char_px(p, length, font_px);
        if (px_max > 0 && px > px_max) {
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

static double text_px(const char *text, int font_px, double px_max)
{
    double px = 0;
    for (size_t at = 0, size = strlen(text); at < size && px <= px_max;) {
        size_t length = utf8_next(text + at, size - at);
        px += char_px(text + at, length, font_px);
        at += length ? length : 1;
    }
    return px <= px_max ? px : px_max + font_px; /* the ellipsis */
}

static int digits(double count)
{
    char text[32];
    return snprintf(text, sizeof text, "%.0f", count);
}

/* Wide enough for the longest count. */
static double cell_side(const struct report_confusion *c, double largest)
{
    double count_px = (digits(largest) + 1) * FONT_PX * 0.625;
    if (c->classes > COUNTS_CLASSES_MAX)
        return 14;
    return fmax(c->classes <= 12 ? LARGE_PX : 34, c->normalize == REPORT_COUNTS ? count_px : 0);
}

static struct layout layout_of(const struct report_confusion *c, const uint64_t *divisors)
{
    double longest = FONT_PX, largest = 0;
    struct layout l = {.divisors = divisors};
    for (int i = 0; i < c->classes; i++) {
        longest = fmax(longest, text_px(c->labels[i], FONT_PX, LABEL_PX_MAX));
        for (int k = 0; k < c->classes; k++) {
            uint32_t count = c->confusion[(size_t)i * (size_t)c->classes + (size_t)k];
            largest = fmax(largest, count);
            l.total += count;
            l.right += i == k ? count : 0;
        }
    }
    l.scale = largest == 0 || (divisors && c->normalize != REPORT_BY_ALL) ? 1
              : divisors ? largest / (double)l.total
                         : largest;
    l.cell = cell_side(c, largest);
    l.left = PAD_PX + LINE_PX + longest + PAD_PX;
    l.upright = longest <= UPRIGHT_PX && l.cell > UPRIGHT_PX;
    l.top = PAD_PX + LINE_PX * (c->title ? 3 : 2) + (l.upright ? FONT_PX : longest) + PAD_PX;
    l.width = l.left + l.cell * c->classes + PAD_PX;
    if (c->title)
        l.width = fmax(l.width, text_px(c->title, TITLE_PX, TITLE_PX_MAX) * 1.1 + 2 * PAD_PX);
    l.width = fmax(l.width, LEGEND_PX);
    l.height = l.top + l.cell * c->classes + PAD_PX;
    return l;
}

/* What the cells show, and of how many samples. */
static void add_legend(struct buf *out, const struct report_confusion *c, const struct layout *l,
                       double y)
{
    static const char *const shows[] = {
        [REPORT_COUNTS] = "counts",
        [REPORT_BY_ACTUAL] = "parts of each row",
        [REPORT_BY_PREDICTED] = "parts of each column",
        [REPORT_BY_ALL] = "parts of all",
    };
    buf_fmt(out, "<text x=\"%d\" y=\"%.0f\" fill=\"#555\">%llu samples", PAD_PX, y,
            (unsigned long long)l->total);
    if (l->total > 0)
        buf_fmt(out, ", %.2f %% right", 100.0 * (double)l->right / (double)l->total);
    buf_fmt(out, "; %s</text>\n", shows[c->normalize]);
}

static void add_head(struct buf *out, const struct report_confusion *c, const struct layout *l)
{
    buf_fmt(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" font-size=\"%d\" role=\"img\">\n",
            l->width, l->height, l->width, l->height, FONT_PX);
    buf_str(out, "<title>");
    add_text(out, c->title ? c->title : "confusion matrix", TITLE_PX, 0);
    buf_str(out, "</title>\n");
    buf_fmt(out, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n", l->width, l->height);
    double line = PAD_PX + FONT_PX;
    if (c->title) {
        buf_fmt(out, "<text x=\"%d\" y=\"%.0f\" font-size=\"%d\" font-weight=\"bold\">", PAD_PX,
                line, TITLE_PX);
        add_text(out, c->title, TITLE_PX, TITLE_PX_MAX);
        buf_str(out, "</text>\n");
        line += LINE_PX;
    }
    add_legend(out, c, l, line);
    line += LINE_PX;
    double middle = l->cell * c->classes / 2, x = PAD_PX + FONT_PX, y = l->top + middle;
    buf_fmt(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">predicted</text>\n",
            l->left + middle, line);
    buf_fmt(out,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
            "transform=\"rotate(-90 %.1f %.1f)\">actual</text>\n",
            x, y, x, y);
}

/* A predicted class above its column. */
static void add_column_label(struct buf *out, const char *label, const struct layout *l, int column)
{
    double middle = l->left + l->cell * (column + 0.5), y = l->top - 6;
    double x = middle + FONT_PX / 3.0;
    if (l->upright)
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", middle, y);
    else
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" transform=\"rotate(-90 %.1f %.1f)\">", x, y, x,
                y);
    add_text(out, label, FONT_PX, LABEL_PX_MAX);
    buf_str(out, "</text>\n");
}

/* The actual class on the left, the predicted one above. */
static void add_labels(struct buf *out, const struct report_confusion *c, const struct layout *l)
{
    for (int i = 0; i < c->classes; i++) {
        double middle = l->cell * (i + 0.5) + FONT_PX / 3.0;
        buf_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\"><title>", l->left - 6,
                l->top + middle);
        add_text(out, c->labels[i], FONT_PX, 0);
        buf_str(out, "</title>");
        add_text(out, c->labels[i], FONT_PX, LABEL_PX_MAX);
        buf_str(out, "</text>\n");
        add_column_label(out, c->labels[i], l, i);
    }
}

/* shade: 0 white to 1 dark. */
static void add_colour(struct buf *out, const unsigned char ramp[3][3], double shade)
{
    int from = shade < 0.5 ? 0 : 1;
    double way = shade * 2 - from;
    buf_str(out, "#");
    for (int i = 0; i < 3; i++)
        buf_fmt(out, "%02x",
                (unsigned)lround(ramp[from][i] + way * (ramp[from + 1][i] - ramp[from][i])));
}

/* "cat taken for dog: 12" */
static void add_tooltip(struct buf *out, const struct report_confusion *c, int actual,
                        int predicted)
{
    buf_str(out, "<title>");
    add_text(out, c->labels[actual], FONT_PX, 0);
    buf_str(out, " taken for ");
    add_text(out, c->labels[predicted], FONT_PX, 0);
    buf_fmt(out, ": %u</title>",
            c->confusion[(size_t)actual * (size_t)c->classes + (size_t)predicted]);
}

/* Right answers in blue, mistakes in orange. By the root of the share of the darkest cell: few
 * mistakes among many right answers shall be seen. */
static void add_cell(struct buf *out, const struct report_confusion *c, const struct layout *l,
                     int actual, int predicted)
{
    double value = report_confusion_cell(c, l->divisors, actual, predicted);
    double shade = sqrt(value / l->scale);
    double x = l->left + l->cell * predicted, y = l->top + l->cell * actual;
    if (value > 0) {
        buf_fmt(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"", x, y,
                l->cell, l->cell);
        add_colour(out, actual == predicted ? blues : oranges, shade);
        buf_str(out, "\">");
        add_tooltip(out, c, actual, predicted);
        buf_str(out, "</rect>\n");
    }
    if (c->classes > COUNTS_CLASSES_MAX)
        return;
    /* The tooltip below the number must still be found. */
    buf_fmt(out,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" pointer-events=\"none\" "
            "fill=\"%s\">",
            x + l->cell / 2, y + l->cell / 2 + FONT_PX / 3.0,
            value == 0    ? "#bbb"
            : shade > 0.6 ? "#fff"
                          : "#000");
    int decimals = value == 0 || !l->divisors ? 0 : l->cell < LARGE_PX ? 2 : 3;
    buf_fmt(out, "%.*f</text>\n", decimals, value);
}

static void add_grid(struct buf *out, const struct report_confusion *c, const struct layout *l)
{
    double side = l->cell * c->classes;
    buf_fmt(out, "<path fill=\"none\" stroke=\"%s\" d=\"",
            c->classes > COUNTS_CLASSES_MAX ? "#eee" : "#ddd");
    for (int i = 1; i < c->classes; i++)
        buf_fmt(out, "M%.1f %.1fv%.1fM%.1f %.1fh%.1f", l->left + l->cell * i, l->top, side, l->left,
                l->top + l->cell * i, side);
    buf_fmt(out, "\"/>\n<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" ", l->left,
            l->top, side, side);
    buf_str(out, "fill=\"none\" stroke=\"#888\"/>\n");
}

void report_confusion_svg(struct buf *out, const struct report_confusion *c)
{
    uint64_t *divisors;
    if (!report_confusion_divisors(c, &divisors)) {
        out->failed = true;
        return;
    }
    struct layout l = layout_of(c, divisors);
    add_head(out, c, &l);
    add_labels(out, c, &l);
    for (int actual = 0; actual < c->classes; actual++)
        for (int predicted = 0; predicted < c->classes; predicted++)
            add_cell(out, c, &l, actual, predicted);
    add_grid(out, c, &l);
    buf_str(out, "</svg>\n");
    free(divisors);
}
