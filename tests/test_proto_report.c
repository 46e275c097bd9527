/* Results as JSON, CSV, SVG and text. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_json.h"
#include "harness.h"
#include "json_read.h"
#include "report.h"
#include "utf8.h"

/* Rows actual, columns predicted. Class c was never predicted; d has no samples. */
static const uint32_t counts[] = {
    3, 1, 0, 0, /* a */
    2, 4, 0, 0, /* b */
    1, 0, 0, 0, /* c */
    0, 0, 0, 0, /* d */
};
static char *const labels[] = {"a", "b", "c", "d"};

static struct report_confusion confusion(enum report_normalize normalize)
{
    return (struct report_confusion){
        .classes = 4, .labels = labels, .confusion = counts, .normalize = normalize};
}

/* An allocated JSON object of the report's members. */
static char *members(const struct report_confusion *c)
{
    struct buf out = {0};
    struct json_writer w;
    struct err e;
    jw_begin(&w, &out);
    jw_object(&w);
    report_confusion_members(&w, c);
    jw_object_end(&w);
    char *text = strdup(buf_text(&out));
    ck_assert_msg(json_check(text, strlen(text), &e), "%s", e.detail);
    buf_clear(&out);
    return text;
}

static void holds(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in:\n%.2000s", part, text);
}

START_TEST(test_confusion_json_has_counts_and_metrics)
{
    struct report_confusion c = confusion(REPORT_COUNTS);
    char *text = members(&c);
    holds(text, "{\"labels\":[\"a\",\"b\",\"c\",\"d\"],"
                "\"matrix\":[[3,1,0,0],[2,4,0,0],[1,0,0,0],[0,0,0,0]],"
                "\"total\":11,\"accuracy\":0.6363636363636364,\"per_class\":["
                "{\"label\":\"a\",\"precision\":0.5,\"recall\":0.75,\"f1\":0.6,\"support\":4},"
                "{\"label\":\"b\",\"precision\":0.8,\"recall\":0.6666666666666666,\"f1\":");
    holds(text, "{\"label\":\"c\",\"precision\":0,\"recall\":0,\"f1\":0,\"support\":1},"
                "{\"label\":\"d\",\"precision\":0,\"recall\":0,\"f1\":0,\"support\":0}],"
                "\"macro\":{\"precision\":0.325,\"recall\":0.35416666666666663,\"f1\":");
    holds(text, ",\"support\":11},\"weighted\":{\"precision\":0.6181818181818183,\"recall\":"
                "0.6363636363636364,\"f1\":");
    holds(text, ",\"support\":11}}");
    free(text);
}
END_TEST

START_TEST(test_confusion_is_normalised_by_actual_predicted_or_all)
{
    static const struct {
        enum report_normalize normalize;
        const char *matrix;
    } cases[] = {
        {REPORT_BY_ACTUAL, "\"matrix\":[[0.75,0.25,0,0],[0.3333333333333333,0.6666666666666666,0,0]"
                           ",[1,0,0,0],[0,0,0,0]],\"total\":11,"},
        {REPORT_BY_PREDICTED, "\"matrix\":[[0.5,0.2,0,0],[0.3333333333333333,0.8,0,0],"
                              "[0.1666666666666667,0,0,0],[0,0,0,0]],\"total\":11,"},
        {REPORT_BY_ALL, "\"matrix\":[[0.2727272727272727,0.09090909090909091,0,0],"
                        "[0.1818181818181818,0.3636363636363636,0,0],[0.09090909090909091,0,0,0],"
                        "[0,0,0,0]],\"total\":11,"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct report_confusion c = confusion(cases[i].normalize);
        char *text = members(&c);
        /* Shortest texts of the same doubles may differ in the last digit: compare as numbers. */
        const char *expected = cases[i].matrix, *at = strstr(text, "\"matrix\"");
        ck_assert_ptr_nonnull(at);
        while (*expected) {
            char *end, *expected_end;
            double value = strtod(at, &end), wanted = strtod(expected, &expected_end);
            if (end == at || !isdigit((unsigned char)*expected)) {
                ck_assert_int_eq(*at++, *expected++);
                continue;
            }
            ck_assert_double_eq_tol(value, wanted, 1e-15);
            at = end;
            expected = expected_end;
        }
        holds(text, "\"support\":6}");
        free(text);
    }
}
END_TEST

START_TEST(test_an_empty_confusion_has_no_accuracy)
{
    static const uint32_t none[4];
    struct report_confusion c = {.classes = 2, .labels = labels, .confusion = none};
    for (c.normalize = REPORT_COUNTS; c.normalize <= REPORT_BY_ALL; c.normalize++) {
        char *text = members(&c);
        holds(text, "\"matrix\":[[0,0],[0,0]],\"total\":0,\"accuracy\":null,");
        free(text);
    }
}
END_TEST

START_TEST(test_confusion_csv)
{
    struct report_confusion c = confusion(REPORT_COUNTS);
    struct buf out = {0};
    report_confusion_csv(&out, &c);
    ck_assert_str_eq(buf_text(&out), ",a,b,c,d\na,3,1,0,0\nb,2,4,0,0\nc,1,0,0,0\nd,0,0,0,0\n");
    out.size = 0;
    c.normalize = REPORT_BY_ACTUAL;
    report_confusion_csv(&out, &c);
    holds(buf_text(&out), "a,0.75,0.25,0,0\nb,0.3333333333,0.6666666667,0,0\n");
    buf_clear(&out);
}
END_TEST

static char *const hostile[] = {"=SUM(A1),\"x\"", "-1\r\n2",
                                "<script>alert(\"&'\")</script>]]>\x1b\xff\xef\xbf\xbf",
                                "caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 end"};

START_TEST(test_csv_quotes_hostile_labels)
{
    struct report_confusion c = confusion(REPORT_COUNTS);
    struct buf out = {0};
    c.labels = hostile;
    report_confusion_csv(&out, &c);
    holds(buf_text(&out), ",\"'=SUM(A1),\"\"x\"\"\",\"'-1\r\n2\",");
    holds(buf_text(&out), "\n\"'=SUM(A1),\"\"x\"\"\",3,1,0,0\n");
    buf_clear(&out);
}
END_TEST

START_TEST(test_loss_csv_has_empty_cells_for_what_was_not_measured)
{
    static const struct report_epoch epochs[] = {
        {1, 0.5, 0.75, NAN, NAN, 1.25},
        {2, 0.25, 0.875, 0.3, 0.9, 1.5},
    };
    struct buf out = {0};
    report_loss_csv(&out, epochs, 2);
    ck_assert_str_eq(buf_text(&out), "epoch,loss,accuracy,val_loss,val_accuracy,seconds\n"
                                     "1,0.5,0.75,,,1.25\n2,0.25,0.875,0.3,0.9,1.5\n");
    buf_clear(&out);
}
END_TEST

/* "&amp;" and the like at p, as far as the writer uses them. */
static bool is_entity(const char *p)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (strncmp(p, entities[i], strlen(entities[i])) == 0)
            return true;
    return false;
}

/* After a tag that begins at p: checks its attributes; *closes says if it is <x/>. */
static const char *check_attributes(const char *p, bool *closes)
{
    for (;;) {
        p += strspn(p, " ");
        *closes = *p == '/';
        if (*p == '/' || *p == '>')
            return p + *closes + 1;
        size_t name = strspn(p, "abcdefghijklmnopqrstuvwxyzB-");
        ck_assert_msg(name > 0 && strncmp(p + name, "=\"", 2) == 0, "attribute at %.40s", p);
        for (p += name + 2; *p != '"'; p++)
            ck_assert_msg(*p && *p != '<' && (*p != '&' || is_entity(p)), "value at %.40s", p);
        p++;
    }
}

/* Fails unless the text is well-formed XML: balanced tags, quoted attributes, entities, and only
 * characters that XML 1.0 has. (Of the language only what an SVG writer of ours may use.) */
static void check_xml(const char *text)
{
    char open[16][16];
    int depth = 0;
    for (const char *p = text; *p;) {
        size_t length = utf8_next(p, strlen(p));
        ck_assert_msg(length > 0 && ((unsigned char)*p >= 0x20 || *p == '\n'), "byte at %.20s", p);
        ck_assert(strncmp(p, "\xef\xbf\xbf", 3) != 0 && strncmp(p, "]]>", 3) != 0);
        if (*p != '<') {
            ck_assert_msg(*p != '&' || is_entity(p), "entity at %.20s", p);
            ck_assert(depth > 0 || *p == '\n');
            p += length;
            continue;
        }
        bool closing = p[1] == '/', closes;
        const char *name = p + 1 + closing;
        size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz");
        ck_assert_msg(size > 0 && size < sizeof open[0] && depth < 15, "tag at %.40s", p);
        if (closing) {
            ck_assert_msg(depth > 0 && strlen(open[depth - 1]) == size &&
                              memcmp(open[depth - 1], name, size) == 0 && name[size] == '>',
                          "closing tag at %.40s", p);
            depth--;
            p = name + size + 1;
            continue;
        }
        p = check_attributes(name + size, &closes);
        if (!closes) {
            memcpy(open[depth], name, size);
            open[depth++][size] = '\0';
        }
    }
    ck_assert_int_eq(depth, 0);
}

static int occurrences(const char *text, const char *part)
{
    int count = 0;
    for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
        count++;
    return count;
}

START_TEST(test_svg_shows_labels_and_counts)
{
    struct report_confusion c = confusion(REPORT_COUNTS);
    struct buf out = {0};
    c.title = "digits, version 3";
    report_confusion_svg(&out, &c);
    const char *text = buf_text(&out);
    check_xml(text);
    ck_assert_int_eq(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39), 0);
    holds(text, ">digits, version 3</text>");
    holds(text, ">predicted</text>");
    holds(text, ">actual</text>");
    for (int i = 0; i < 4; i++) {
        char label[16];
        snprintf(label, sizeof label, ">%s</text>", labels[i]);
        ck_assert_int_eq(occurrences(text, label), 2); /* a row and a column */
    }
    ck_assert_int_eq(occurrences(text, ">0</text>"), 11);
    holds(text, "fill=\"#fff\">4</text>"); /* the darkest cell */
    holds(text, "fill=\"#08306b\"");
    holds(text, "fill=\"#000\">1</text>");
    holds(text, "<title>b taken for a: 2</title>");
    holds(text, ">11 samples, 63.64 % right; counts</text>");
    buf_clear(&out);
}
END_TEST

START_TEST(test_svg_shows_shares_when_normalised)
{
    struct report_confusion c = confusion(REPORT_BY_ACTUAL);
    struct buf out = {0};
    report_confusion_svg(&out, &c);
    check_xml(buf_text(&out));
    holds(buf_text(&out), ">0.750</text>");
    holds(buf_text(&out), ">1.000</text>");
    holds(buf_text(&out), "fill=\"#7f2704\""); /* c, of which all are mistaken */
    holds(buf_text(&out), "; parts of each row</text>");
    buf_clear(&out);
    /* The darkest of 0.09 to 0.36 is dark. */
    c.normalize = REPORT_BY_ALL;
    report_confusion_svg(&out, &c);
    check_xml(buf_text(&out));
    holds(buf_text(&out), "fill=\"#08306b\"");
    holds(buf_text(&out), ">0.364</text>");
    buf_clear(&out);
}
END_TEST

START_TEST(test_svg_stays_well_formed_with_hostile_labels)
{
    struct report_confusion c = confusion(REPORT_COUNTS);
    struct buf out = {0};
    c.labels = hostile;
    c.title = hostile[2];
    report_confusion_svg(&out, &c);
    const char *text = buf_text(&out);
    check_xml(text);
    ck_assert_ptr_null(strstr(text, "<script"));
    holds(text, "&lt;script&gt;alert(&quot;&amp;'");
    holds(
        text,
        "caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9 caf\xc3\xa9\xe2\x80\xa6</text>"); /* 24 */
    buf_clear(&out);
}
END_TEST

START_TEST(test_svg_of_many_classes_carries_no_counts)
{
    enum { MANY = 41 };
    uint32_t *cells = calloc(MANY * MANY, sizeof *cells);
    char *names[MANY];
    struct report_confusion c = {.classes = MANY, .labels = names, .confusion = cells};
    struct buf out = {0};
    for (int i = 0; i < MANY; i++) {
        names[i] = "n";
        cells[i * MANY + i] = 777;
    }
    report_confusion_svg(&out, &c);
    check_xml(buf_text(&out));
    ck_assert_ptr_null(strstr(buf_text(&out), ">777<"));
    ck_assert_int_eq(occurrences(buf_text(&out), "#08306b"), MANY);
    out.size = 0;
    c.classes = MANY - 1;
    report_confusion_svg(&out, &c);
    holds(buf_text(&out), ">777<");
    buf_clear(&out);
    free(cells);
}
END_TEST

/* The attribute of the <svg>. */
static int svg_size(const char *text, const char *attribute)
{
    const char *at = strstr(text, attribute);
    ck_assert_ptr_nonnull(at);
    return atoi(at + strlen(attribute));
}

START_TEST(test_svg_has_room_for_its_texts)
{
    static const uint32_t large[] = {4000000000, 1, 2, 3}, small[] = {1, 1, 1, 1};
    static char *const narrow[] = {"iiiiiiiiii", "i"};
    static char *const square[] = {"\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac"
                                   "\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac\xe7\x8a\xac",
                                   "i"};
    struct report_confusion c = {.classes = 2, .labels = narrow, .confusion = small};
    struct buf out = {0};
    report_confusion_svg(&out, &c);
    int height = svg_size(buf_text(&out), " height=\"");
    holds(buf_text(&out), "width=\"48.0\""); /* a cell */
    buf_clear(&out);
    c.labels = square;
    report_confusion_svg(&out, &c);
    ck_assert_int_gt(svg_size(buf_text(&out), " height=\""), height + 50);
    buf_clear(&out);
    c.confusion = large;
    report_confusion_svg(&out, &c);
    ck_assert_ptr_null(strstr(buf_text(&out), "width=\"48.0\""));
    buf_clear(&out);
    c.title = "a title that is a good deal longer than two classes are wide, and longer than this";
    report_confusion_svg(&out, &c);
    ck_assert_int_ge(svg_size(buf_text(&out), " width=\""), 700);
    check_xml(buf_text(&out));
    buf_clear(&out);
}
END_TEST

static struct cnn_net *net_of(const char *text)
{
    struct cnn_spec spec;
    struct err e;
    ck_assert_msg(arch_parse_text(text, strlen(text), NULL, 0, &spec, &e), "%s", e.detail);
    struct cnn_net *net = cnn_net_new(&spec, &e);
    ck_assert_msg(net != NULL, "%s", e.detail);
    cnn_spec_clear(&spec);
    return net;
}

static const char residual[] =
    "{\"input\":[2,4,4],\"layers\":[{\"type\":\"conv2d\",\"name\":\"c\",\"filters\":2,\"kernel\":3,"
    "\"padding\":1},{\"type\":\"batch_norm\"},{\"type\":\"add\",\"inputs\":[\"c\",1,\"input\"]},"
    "{\"type\":\"flatten\"},{\"type\":\"dense\",\"units\":3}]}";

START_TEST(test_summary_json_is_exact)
{
    struct cnn_net *net = net_of(residual);
    struct buf out = {0};
    struct json_writer w;
    jw_begin(&w, &out);
    report_summary_json(&w, net);
    /* conv: 2*2*9 + 2 parameters, 36 * 16 multiply-adds; dense: 32*3 + 3. */
    ck_assert_str_eq(
        buf_text(&out),
        "{\"input\":[2,4,4],\"output\":[3],\"layers\":["
        "{\"name\":\"c\",\"type\":\"conv2d\",\"inputs\":[\"input\"],\"input\":[2,4,4],"
        "\"output\":[2,4,4],\"parameters\":38,\"macs\":576},"
        "{\"name\":\"batch_norm1\",\"type\":\"batch_norm\",\"inputs\":[\"c\"],\"input\":[2,4,4],"
        "\"output\":[2,4,4],\"parameters\":4,\"macs\":0},"
        "{\"name\":\"add1\",\"type\":\"add\",\"inputs\":[\"c\",\"batch_norm1\",\"input\"],"
        "\"input\":[2,4,4],\"output\":[2,4,4],\"parameters\":0,\"macs\":0},"
        "{\"name\":\"flatten1\",\"type\":\"flatten\",\"inputs\":[\"add1\"],\"input\":[2,4,4],"
        "\"output\":[32],\"parameters\":0,\"macs\":0},"
        "{\"name\":\"dense1\",\"type\":\"dense\",\"inputs\":[\"flatten1\"],\"input\":[32],"
        "\"output\":[3],\"parameters\":99,\"macs\":96}],"
        "\"parameters\":141,\"macs\":672,\"activation_bytes\":652}");
    buf_clear(&out);
    cnn_net_free(net);
}
END_TEST

START_TEST(test_summary_text_is_a_table)
{
    struct cnn_net *net = net_of(residual);
    struct buf out = {0};
    report_summary_text(&out, net, "residual");
    ck_assert_str_eq(buf_text(&out),
                     "residual\n"
                     "=======================================================================\n"
                     "Layer (type)              Input shape  Output shape  Param #  Mult-adds\n"
                     "=======================================================================\n"
                     "c (conv2d)                [2,4,4]      [2,4,4]       38       576\n"
                     "batch_norm1 (batch_norm)  [2,4,4]      [2,4,4]       4        --\n"
                     "add1 (add)                [2,4,4]      [2,4,4]       --       --\n"
                     "flatten1 (flatten)        [2,4,4]      [32]          --       --\n"
                     "dense1 (dense)            [32]         [3]           99       96\n"
                     "=======================================================================\n"
                     "Total params: 141\n"
                     "Running statistics: 4\n"
                     "Total mult-adds: 672\n"
                     "Feature maps of one sample (MB): 0.00\n"
                     "Params size (MB): 0.00\n"
                     "=======================================================================\n");
    buf_clear(&out);
    cnn_net_free(net);
}
END_TEST

/* REFERENCE figures, through the preset. */
START_TEST(test_summary_of_mnist_cnn)
{
    struct cnn_net *net = net_of("\"mnist-cnn\"");
    struct buf out = {0};
    report_summary_text(&out, net, NULL);
    const char *text = buf_text(&out);
    holds(text, "[32,26,26]");
    holds(text, "[64,11,11]");
    holds(text, "[64,3,3]");
    holds(text, "18,496");
    holds(text, "Total params: 93,322\n");
    ck_assert_ptr_null(strstr(text, "Running statistics"));
    ck_assert_int_eq(strncmp(text, "====", 4), 0);
    buf_clear(&out);
    cnn_net_free(net);
}
END_TEST

TEST_PROGRAM("proto_report", test_confusion_json_has_counts_and_metrics,
             test_confusion_is_normalised_by_actual_predicted_or_all,
             test_an_empty_confusion_has_no_accuracy, test_confusion_csv,
             test_csv_quotes_hostile_labels,
             test_loss_csv_has_empty_cells_for_what_was_not_measured,
             test_svg_shows_labels_and_counts, test_svg_shows_shares_when_normalised,
             test_svg_stays_well_formed_with_hostile_labels,
             test_svg_of_many_classes_carries_no_counts, test_svg_has_room_for_its_texts,
             test_summary_json_is_exact, test_summary_text_is_a_table, test_summary_of_mnist_cnn)
