#include "job_net.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch_json.h"
#include "memory.h"
#include "name.h"

/* Architectures tried in turn for a dataset whose job names none. */
static const char *const *candidates(int rank)
{
    static const char *const volumes[] = {"voxel-cnn", "shapes-mlp", NULL};
    static const char *const pictures[] = {"mnist-cnn", "scratch", "shapes-mlp", NULL};
    static const char *const others[] = {"scratch", "shapes-mlp", NULL};
    return rank == 3 ? volumes : rank == 2 ? pictures : others;
}

/* cnn_net_new or cnn_net_plan. */
typedef struct cnn_net *net_maker(const struct cnn_spec *spec, struct err *e);

static struct cnn_net *build(net_maker *make, const char *architecture,
                             const struct dataset *dataset, struct err *e)
{
    struct cnn_spec spec = {0};
    struct cnn_net *net = NULL;
    if (arch_parse_text(architecture, strlen(architecture), &dataset->info.shape,
                        dataset->info.label_count, &spec, e))
        net = make(&spec, e);
    cnn_spec_clear(&spec);
    if (!net)
        err_within(e, "architecture");
    return net;
}

bool job_net_default(struct job_request *request, const struct dataset *dataset, struct err *e)
{
    if (request->architecture)
        return true;
    for (const char *const *name = candidates(dataset->info.shape.rank); *name; name++) {
        struct buf quoted = {0};
        buf_fmt(&quoted, "\"%s\"", *name);
        if (!buf_ok(&quoted)) {
            buf_clear(&quoted);
            return err_no_memory(e);
        }
        struct cnn_net *net = build(cnn_net_plan, buf_text(&quoted), dataset, e);
        if (net) {
            cnn_net_free(net);
            request->architecture = strdup(buf_text(&quoted));
            buf_clear(&quoted);
            return request->architecture || err_no_memory(e);
        }
        buf_clear(&quoted);
        if (e->code == ERR_NO_MEMORY)
            return false;
    }
    char shape[CNN_SHAPE_TEXT];
    return err_field(e, ERR_INVALID, "architecture",
                     "no default architecture fits samples of %s: give one",
                     cnn_shape_text(&dataset->info.shape, shape));
}

char *job_net_architecture(const struct cnn_net *net, struct err *e)
{
    struct cnn_spec spec = {0};
    if (!cnn_net_spec(net, &spec, e))
        return NULL;
    struct buf text = {0};
    struct json_writer w;
    jw_begin(&w, &text);
    arch_write(&w, &spec);
    cnn_spec_clear(&spec);
    char *copy = buf_ok(&text) ? strdup(buf_text(&text)) : NULL;
    buf_clear(&text);
    if (!copy)
        err_no_memory(e);
    return copy;
}

static struct cnn_net *build_fitting(net_maker *make, const struct job_request *request,
                                     const struct dataset *dataset, struct err *e)
{
    struct cnn_net *net = build(make, request->architecture, dataset, e);
    if (net && !cnn_samples_fit(net, &dataset->samples[SPLIT_TRAIN], e)) {
        err_within(e, "architecture");
        cnn_net_free(net);
        return NULL;
    }
    return net;
}

struct cnn_net *job_net_new(const struct job_request *request, const struct dataset *dataset,
                            struct err *e)
{
    return build_fitting(cnn_net_new, request, dataset, e);
}

struct cnn_net *job_net_plan(const struct job_request *request, const struct dataset *dataset,
                             struct err *e)
{
    return build_fitting(cnn_net_plan, request, dataset, e);
}

bool job_net_base(const struct job_request *request, char name[LIMIT_NAME_BYTES + 1], int *version,
                  struct err *e)
{
    const char *text = request->init_from, *colon = strchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : strlen(text);
    *version = 0;
    if (colon) {
        char *end;
        errno = 0;
        long number = strtol(colon + 1, &end, 10);
        bool digits = colon[1] >= '1' && colon[1] <= '9' && *end == '\0';
        if (!digits || errno || number > INT32_MAX)
            return err_field(e, ERR_INVALID, "init_from",
                             "version of '%s' is not a positive number", text);
        *version = (int)number;
    }
    if (size > LIMIT_NAME_BYTES)
        return err_field(e, ERR_INVALID, "init_from", "model name is longer than %d bytes",
                         LIMIT_NAME_BYTES);
    memcpy(name, text, size);
    name[size] = '\0';
    return name_check(name, "init_from", e);
}

/* "weight of layer 'dense2' [10,64]", or "no such tensor". */
static void tensor_text(const struct cnn_net *net, int index, struct buf *text)
{
    if (index >= net->tensor_count) {
        buf_str(text, "no such tensor");
        return;
    }
    const struct cnn_param *tensor = &net->tensors[index];
    buf_fmt(text, "%s of layer '%s' [", tensor->role, net->nodes[tensor->node].spec.name);
    for (int i = 0; i < tensor->rank; i++)
        buf_fmt(text, "%s%d", i ? "," : "", tensor->dims[i]);
    buf_str(text, "]");
}

static bool tensors_agree(const struct cnn_net *a, const struct cnn_net *b, int index)
{
    if (index >= a->tensor_count || index >= b->tensor_count)
        return false;
    const struct cnn_param *x = &a->tensors[index], *y = &b->tensors[index];
    return x->rank == y->rank && memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims) == 0 &&
           strcmp(x->role, y->role) == 0 &&
           strcmp(a->nodes[x->node].spec.name, b->nodes[y->node].spec.name) == 0;
}

static bool refuse_tensor(const struct cnn_net *net, const struct cnn_net *from,
                          const char *from_name, int index, struct err *e)
{
    struct buf wanted = {0}, found = {0};
    tensor_text(net, index, &wanted);
    tensor_text(from, index, &found);
    err_field(e, ERR_INVALID, "init_from", "architecture has %s where model '%s' has %s",
              buf_text(&wanted), from_name, buf_text(&found));
    buf_clear(&wanted);
    buf_clear(&found);
    return false;
}

bool job_net_agree(const struct cnn_net *net, const struct cnn_net *from, const char *from_name,
                   struct err *e)
{
    int count = net->tensor_count > from->tensor_count ? net->tensor_count : from->tensor_count;
    for (int i = 0; i < count; i++)
        if (!tensors_agree(net, from, i))
            return refuse_tensor(net, from, from_name, i, e);
    return true;
}

bool job_net_copy(struct cnn_net *net, const struct cnn_net *from, const char *from_name,
                  struct err *e)
{
    if (!job_net_agree(net, from, from_name, e))
        return false;
    for (int i = 0; i < net->tensor_count; i++) {
        float *canonical = memory_new(net->tensors[i].count, sizeof *canonical, e);
        if (!canonical)
            return false;
        cnn_net_export(from, i, canonical);
        cnn_net_import(net, i, canonical);
        free(canonical);
    }
    return true;
}
