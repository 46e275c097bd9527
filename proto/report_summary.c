/* report_summary.c - the layers of a net with their shapes, parameters and multiply-adds. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch_json.h"
#include "utf8.h"

/* Feature maps of one sample, the input with them, as floats. */
static uint64_t activation_bytes(const struct cnn_net *net)
{
    uint64_t floats = cnn_shape_count(&net->input);
    for (int i = 0; i < net->node_count; i++)
        floats += cnn_shape_count(&net->nodes[i].out);
    return floats * sizeof(float);
}

static void write_shape(struct json_writer *w, const char *key, const struct cnn_shape *shape)
{
    int dims[1 + CNN_AXES];
    int count = cnn_shape_dims(shape, dims);
    jw_key(w, key);
    jw_array(w);
    for (int i = 0; i < count; i++)
        jw_int(w, dims[i]);
    jw_array_end(w);
}

static void write_layer(struct json_writer *w, const struct cnn_net *net,
                        const struct cnn_node *node)
{
    char type[ARCH_TYPE_BYTES];
    jw_object(w);
    jw_key_string(w, "name", node->spec.name);
    jw_key_string(w, "type", arch_type_text(&node->spec, type));
    jw_key(w, "inputs");
    jw_array(w);
    for (int i = 0; i < node->input_count; i++)
        jw_string(w, node->inputs[i] == CNN_FROM_INPUT ? "input"
                                                       : net->nodes[node->inputs[i]].spec.name);
    jw_array_end(w);
    write_shape(w, "input", &node->in[0]);
    write_shape(w, "output", &node->out);
    jw_key_int(w, "parameters", (int64_t)cnn_node_params(net, node));
    jw_key_int(w, "macs", (int64_t)cnn_node_macs(node));
    jw_object_end(w);
}

void report_summary_json(struct json_writer *w, const struct cnn_net *net)
{
    jw_object(w);
    write_shape(w, "input", &net->input);
    write_shape(w, "output", cnn_net_output(net));
    jw_key(w, "layers");
    jw_array(w);
    for (int i = 0; i < net->node_count; i++)
        write_layer(w, net, &net->nodes[i]);
    jw_array_end(w);
    jw_key_int(w, "parameters", (int64_t)net->param_count);
    jw_key_int(w, "macs", (int64_t)cnn_net_macs(net));
    jw_key_int(w, "activation_bytes", (int64_t)activation_bytes(net));
    jw_object_end(w);
}

enum { COLUMNS = 5, CELL_BYTES = 160, GAP = 2 };

struct row {
    char cells[COLUMNS][CELL_BYTES];
};

static const struct row heading = {
    {"Layer (type)", "Input shape", "Output shape", "Param #", "Mult-adds"}};

/* "1,234,567" into out. */
static char *grouped(uint64_t value, char out[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

static void row_fill(struct row *row, const struct cnn_net *net, const struct cnn_node *node)
{
    char type[ARCH_TYPE_BYTES], name[UTF8_QUOTE_BYTES], number[32];
    size_t params = cnn_node_params(net, node);
    uint64_t macs = cnn_node_macs(node);
    snprintf(row->cells[0], CELL_BYTES, "%s (%s)",
             utf8_quote(name, node->spec.name, strlen(node->spec.name)),
             arch_type_text(&node->spec, type));
    cnn_shape_text(&node->in[0], row->cells[1]);
    cnn_shape_text(&node->out, row->cells[2]);
    snprintf(row->cells[3], CELL_BYTES, "%s", params ? grouped(params, number) : "--");
    snprintf(row->cells[4], CELL_BYTES, "%s", macs ? grouped(macs, number) : "--");
}

/* Columns of a terminal, one a character. */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void add_row(struct buf *out, const struct row *row, const int widths[COLUMNS])
{
    for (int k = 0; k < COLUMNS; k++) {
        int blanks = k + 1 < COLUMNS ? widths[k] + GAP - text_width(row->cells[k]) : 0;
        buf_fmt(out, "%s%*s", row->cells[k], blanks, "");
    }
    buf_str(out, "\n");
}

static void add_rule(struct buf *out, int width)
{
    for (int i = 0; i < width; i++)
        buf_str(out, "=");
    buf_str(out, "\n");
}

static void add_totals(struct buf *out, const struct cnn_net *net)
{
    static const double mega = 1e6;
    char number[32];
    buf_fmt(out, "Total params: %s\n", grouped(net->param_count, number));
    if (net->state_count > net->param_count) /* of batch_norm: saved, not trained */
        buf_fmt(out, "Running statistics: %s\n",
                grouped(net->state_count - net->param_count, number));
    buf_fmt(out, "Total mult-adds: %s\n", grouped(cnn_net_macs(net), number));
    buf_fmt(out, "Feature maps of one sample (MB): %.2f\n", (double)activation_bytes(net) / mega);
    buf_fmt(out, "Params size (MB): %.2f\n",
            (double)net->state_count * (double)sizeof(float) / mega);
}

void report_summary_text(struct buf *out, const struct cnn_net *net, const char *title)
{
    struct row *rows = calloc((size_t)net->node_count + 1, sizeof *rows);
    int widths[COLUMNS], total = GAP * (COLUMNS - 1);
    if (!rows) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < net->node_count; i++)
        row_fill(&rows[i], net, &net->nodes[i]);
    for (int k = 0; k < COLUMNS; k++) {
        widths[k] = text_width(heading.cells[k]);
        for (int i = 0; i < net->node_count; i++) {
            int width = text_width(rows[i].cells[k]);
            widths[k] = width > widths[k] ? width : widths[k];
        }
        total += widths[k];
    }
    if (title)
        buf_fmt(out, "%s\n", title);
    add_rule(out, total);
    add_row(out, &heading, widths);
    add_rule(out, total);
    for (int i = 0; i < net->node_count; i++)
        add_row(out, &rows[i], widths);
    add_rule(out, total);
    add_totals(out, net);
    add_rule(out, total);
    free(rows);
}
