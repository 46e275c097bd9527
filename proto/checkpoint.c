#include "checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "json_read.h"
#include "safetensors.h"

#define METADATA_KEY "strided.checkpoint"

enum {
    TENSORS_MAX = 7,
    CRC_BYTES = 4,
    POINT_NUMBERS = sizeof(struct checkpoint_point) / sizeof(double),
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are mapped as they are");
_Static_assert(sizeof(struct checkpoint_point) == 3 * sizeof(double), "a row of three numbers");

/* ---- writing ---- */

/* The file's tensors and where their bytes are; the checksum's come last and are not among them. */
struct pieces {
    struct safetensors_tensor tensors[TENSORS_MAX];
    const void *bytes[TENSORS_MAX];
    int count;
};

static void add_piece(struct pieces *pieces, const char *name, const char *dtype, const void *bytes,
                      uint64_t rows, uint64_t columns)
{
    struct safetensors_tensor *tensor = &pieces->tensors[pieces->count];
    *tensor = (struct safetensors_tensor){.rank = columns > 1 ? 2 : 1, .dims = {rows, columns}};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    snprintf(tensor->dtype, sizeof tensor->dtype, "%s", dtype);
    pieces->bytes[pieces->count++] = bytes;
}

static void add_block(struct pieces *pieces, const char *name, const float *block, size_t count)
{
    if (block)
        add_piece(pieces, name, "F32", block, count, 1);
}

static struct pieces lay_out(const struct checkpoint *c, const struct cnn_net *net,
                             const struct buf *request)
{
    struct pieces pieces = {.count = 0};
    add_piece(&pieces, "points", "F64", c->points, (uint64_t)c->point_count, POINT_NUMBERS);
    add_block(&pieces, "params", c->state.params, net->state_count);
    add_block(&pieces, "best", c->state.best, net->state_count);
    add_block(&pieces, "moment1", c->state.optim.first, net->param_count);
    add_block(&pieces, "moment2", c->state.optim.second, net->param_count);
    add_piece(&pieces, "request", "U8", request->data, request->size, 1);
    add_piece(&pieces, "crc32", "U8", NULL, CRC_BYTES, 1);
    return pieces;
}

static void write_numbers(struct json_writer *w, const struct checkpoint *c)
{
    const struct cnn_train_state *state = &c->state;
    jw_object(w);
    jw_key_int(w, "format", CHECKPOINT_FORMAT);
    jw_key_string(w, "job", c->job);
    jw_key_string(w, "cpu", c->cpu);
    jw_key_double(w, "epoch_seconds", c->epoch_seconds);
    jw_key_int(w, "epoch", state->epoch);
    jw_key_int(w, "batch", state->batch);
    jw_key_int(w, "steps", state->optim.steps);
    jw_key_double(w, "loss_sum", state->loss_sum);
    jw_key_int(w, "correct", state->correct);
    jw_key_int(w, "best_epoch", state->best_epoch);
    jw_key_double(w, "best_accuracy", state->best_accuracy);
    jw_key_double(w, "best_loss", state->best_loss);
    jw_object_end(w);
}

/* The request, but for what may change between a stop and going on. */
static void write_request(const struct job_request *request, struct buf *out)
{
    struct job_request fixed = *request;
    struct json_writer w;
    fixed.train.epochs = fixed.train.threads = 1;
    jw_begin(&w, out);
    job_request_write(&w, &fixed);
}

static void put_pieces(const struct pieces *pieces, const struct buf *head, checkpoint_put *put,
                       void *context)
{
    uLong crc = crc32_z(0, (const Bytef *)head->data, head->size);
    put(context, head->data, head->size);
    for (int i = 0; i < pieces->count - 1; i++) {
        size_t size = pieces->tensors[i].end - pieces->tensors[i].begin;
        if (size == 0)
            continue;
        crc = crc32_z(crc, pieces->bytes[i], size);
        put(context, pieces->bytes[i], size);
    }
    const uint32_t sum = (uint32_t)crc;
    put(context, &sum, CRC_BYTES);
}

bool checkpoint_write(const struct checkpoint *checkpoint, const struct cnn_net *net,
                      const struct job_request *request, checkpoint_put *put, void *context,
                      struct err *e)
{
    struct buf numbers = {0}, text = {0}, head = {0};
    struct json_writer w;
    jw_begin(&w, &numbers);
    write_numbers(&w, checkpoint);
    write_request(request, &text);
    struct pieces pieces = lay_out(checkpoint, net, &text);
    const char *metadata = buf_text(&numbers);
    bool ok =
        buf_ok(&numbers) && buf_ok(&text)
            ? safetensors_header(pieces.tensors, pieces.count, METADATA_KEY, metadata, &head, e)
            : err_no_memory(e);
    if (ok)
        put_pieces(&pieces, &head, put, context);
    buf_clear(&numbers);
    buf_clear(&text);
    buf_clear(&head);
    return ok;
}

/* ---- reading ---- */

static bool damaged(struct err *e, const char *what)
{
    return err_set(e, ERR_UNPROCESSABLE, "%s", what);
}

/* The last four bytes against all before them. */
static bool check_sum(const struct safetensors *st, const uint8_t *bytes, size_t size,
                      struct err *e)
{
    const struct safetensors_tensor *tensor = safetensors_find(st, "crc32");
    if (!tensor || strcmp(tensor->dtype, "U8") != 0 || tensor->end - tensor->begin != CRC_BYTES ||
        st->data + tensor->end != bytes + size)
        return damaged(e, "no checksum at the end");
    uint32_t said;
    memcpy(&said, bytes + size - CRC_BYTES, CRC_BYTES);
    return crc32_z(0, bytes, size - CRC_BYTES) == said || damaged(e, "checksum does not match");
}

/* The bytes of a tensor of `rows` (or any number, in *rows) by `columns` elements, aligned for
 * them; NULL in *bytes when there is none. */
static bool find(const struct safetensors *st, const char *name, const char *dtype, size_t align,
                 uint64_t columns, uint64_t *rows, const void **bytes, struct err *e)
{
    const struct safetensors_tensor *tensor = safetensors_find(st, name);
    *bytes = NULL;
    *rows = 0;
    if (!tensor)
        return true;
    const uint8_t *at = st->data + tensor->begin;
    if (strcmp(tensor->dtype, dtype) != 0 || tensor->rank != (columns > 1 ? 2 : 1) ||
        (columns > 1 && tensor->dims[1] != columns) || (uintptr_t)at % align != 0)
        return err_set(e, ERR_UNPROCESSABLE, "tensor '%s' is not what it should be", name);
    *rows = tensor->dims[0];
    *bytes = at;
    return true;
}

static bool find_block(const struct safetensors *st, const char *name, size_t count,
                       const float **block, struct err *e)
{
    uint64_t rows;
    const void *bytes;
    if (!find(st, name, "F32", sizeof(float), 1, &rows, &bytes, e))
        return false;
    if (bytes && rows != count)
        return err_set(e, ERR_CONFLICT, "tensor '%s' has %llu numbers, the model needs %zu", name,
                       (unsigned long long)rows, count);
    *block = bytes;
    return true;
}

static bool known_tensors(const struct safetensors *st, struct err *e)
{
    static const char *const names[] = {"points",  "params",  "best", "moment1",
                                        "moment2", "request", "crc32"};
    int known = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        known += safetensors_find(st, names[i]) != NULL;
    return known == st->count || damaged(e, "tensors that no checkpoint has");
}

static bool read_points(const struct safetensors *st, struct checkpoint *c, struct err *e)
{
    uint64_t rows;
    const void *bytes;
    if (!find(st, "points", "F64", sizeof(double), POINT_NUMBERS, &rows, &bytes, e))
        return false;
    if (!bytes || rows > (uint64_t)c->state.batch)
        return damaged(e, "points are missing, or more than batches");
    c->points = bytes;
    c->point_count = (int)rows;
    double last = 0;
    for (int i = 0; i < c->point_count; i++) {
        const struct checkpoint_point *point = &c->points[i];
        if (!(point->batch > last && point->batch <= c->state.batch) ||
            floor(point->batch) != point->batch || !isfinite(point->loss) || !isfinite(point->lr))
            return err_set(e, ERR_UNPROCESSABLE, "point %d is not one of the epoch's", i);
        last = point->batch;
    }
    return true;
}

static bool get_int(const struct cJSON *json, const char *key, int64_t high, int64_t *value,
                    struct err *e)
{
    return json_get(json, key) ? json_get_int(json, key, 0, high, value, e)
                               : err_set(e, ERR_UNPROCESSABLE, "no '%s'", key);
}

static bool get_double(const struct cJSON *json, const char *key, double *value, struct err *e)
{
    return json_get(json, key) ? json_get_double(json, key, 0, HUGE_VAL, value, e)
                               : err_set(e, ERR_UNPROCESSABLE, "no '%s'", key);
}

static bool get_text(const struct cJSON *json, const char *key, char *out, size_t size,
                     struct err *e)
{
    const char *text = NULL;
    if (!json_get_string(json, key, &text, e))
        return false;
    if (!text || strlen(text) >= size)
        return err_set(e, ERR_UNPROCESSABLE, "no '%s', or a long one", key);
    snprintf(out, size, "%s", text);
    return true;
}

static bool read_state(const struct cJSON *json, struct cnn_train_state *state, struct err *e)
{
    int64_t epoch, batch, correct, best_epoch;
    if (!get_int(json, "epoch", INT32_MAX, &epoch, e) ||
        !get_int(json, "batch", INT32_MAX, &batch, e) ||
        !get_int(json, "steps", (int64_t)1 << 53, &state->optim.steps, e) ||
        !get_double(json, "loss_sum", &state->loss_sum, e) ||
        !get_int(json, "correct", UINT32_MAX, &correct, e) ||
        !get_int(json, "best_epoch", INT32_MAX, &best_epoch, e) ||
        !get_double(json, "best_accuracy", &state->best_accuracy, e) ||
        !get_double(json, "best_loss", &state->best_loss, e))
        return false;
    state->epoch = (int)epoch;
    state->batch = (int)batch;
    state->correct = (uint32_t)correct;
    state->best_epoch = (int)best_epoch;
    return true;
}

static bool read_numbers(const struct cJSON *json, struct checkpoint *c, struct err *e)
{
    static const char *const keys[] = {
        "format",   "job",     "cpu",        "epoch_seconds", "epoch",     "batch", "steps",
        "loss_sum", "correct", "best_epoch", "best_accuracy", "best_loss", NULL};
    int64_t format;
    if (!json_is_object(json, METADATA_KEY, e) || !get_int(json, "format", INT32_MAX, &format, e))
        return false;
    if (format != CHECKPOINT_FORMAT)
        return err_set(e, ERR_CONFLICT, "checkpoint is of format %lld, this program reads %d",
                       (long long)format, CHECKPOINT_FORMAT);
    return json_only(json, keys, e) && get_text(json, "job", c->job, sizeof c->job, e) &&
           get_text(json, "cpu", c->cpu, sizeof c->cpu, e) &&
           get_double(json, "epoch_seconds", &c->epoch_seconds, e) &&
           read_state(json, &c->state, e);
}

/* The numbers stand as JSON text inside the JSON of the file's header. */
static bool read_metadata(const struct safetensors *st, struct checkpoint *c, struct err *e)
{
    static const char *const keys[] = {METADATA_KEY, NULL};
    const char *text = NULL;
    struct cJSON *inner = NULL;
    if (!st->metadata)
        return damaged(e, "no metadata");
    struct cJSON *outer = json_parse(st->metadata, strlen(st->metadata), e);
    bool ok = outer && json_only(outer, keys, e) && json_get_string(outer, METADATA_KEY, &text, e);
    if (ok && !text)
        ok = damaged(e, "no metadata");
    ok = ok && (inner = json_parse(text, strlen(text), e)) && read_numbers(inner, c, e);
    json_free(inner);
    json_free(outer);
    return ok;
}

static bool same_request(const void *text, uint64_t size, const struct job_request *request,
                         struct err *e)
{
    struct job_request was = {0};
    struct buf a = {0}, b = {0};
    if (!job_request_parse(text, size, &was, e))
        return false;
    write_request(&was, &a);
    write_request(request, &b);
    bool ok = (buf_ok(&a) && buf_ok(&b)) || err_no_memory(e);
    if (ok && (a.size != b.size || memcmp(a.data, b.data, a.size) != 0))
        ok = err_set(e, ERR_CONFLICT, "checkpoint is of a job that was asked for otherwise");
    job_request_clear(&was);
    buf_clear(&a);
    buf_clear(&b);
    return ok;
}

static bool read_tensors(const struct safetensors *st, const struct job_request *request,
                         const struct cnn_net *net, struct checkpoint *c, struct err *e)
{
    uint64_t size;
    const void *text;
    if (!known_tensors(st, e) || !find(st, "request", "U8", 1, 1, &size, &text, e))
        return false;
    if (!text)
        return damaged(e, "no request");
    return same_request(text, size, request, e) && read_points(st, c, e) &&
           find_block(st, "params", net->state_count, &c->state.params, e) &&
           find_block(st, "best", net->state_count, &c->state.best, e) &&
           find_block(st, "moment1", net->param_count, &c->state.optim.first, e) &&
           find_block(st, "moment2", net->param_count, &c->state.optim.second, e);
}

bool checkpoint_read(const void *bytes, size_t size, const char *job,
                     const struct job_request *request, const struct cnn_net *net,
                     struct checkpoint *checkpoint, struct err *e)
{
    struct safetensors st;
    *checkpoint = (struct checkpoint){.job = ""};
    if (!safetensors_parse(bytes, size, &st, e))
        return false;
    bool ok = check_sum(&st, bytes, size, e) && read_metadata(&st, checkpoint, e);
    if (ok && strcmp(checkpoint->job, job) != 0)
        ok = err_set(e, ERR_CONFLICT, "checkpoint is of job '%s', not '%s'", checkpoint->job, job);
    ok = ok && read_tensors(&st, request, net, checkpoint, e);
    safetensors_clear(&st);
    if (!ok && e->code == ERR_INVALID) /* the file is at fault, not a request's field */
        e->code = ERR_UNPROCESSABLE;
    return ok;
}
