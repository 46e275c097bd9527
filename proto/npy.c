#include "npy.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "memory.h"
#include "utf8.h"

enum {
    MAGIC_BYTES = 6,
    HEADER_BYTES_MAX = 1 << 16, /* of the dict; real ones have under 200 */
    HEAD_ALIGN_BYTES = 64,
};
static const char magic[MAGIC_BYTES + 1] = "\x93NUMPY";

static const struct {
    const char *name; /* without the byte order */
    size_t bytes;
} dtypes[NPY_DTYPE_COUNT] = {
    [NPY_BOOL] = {"b1", 1}, [NPY_U8] = {"u1", 1},  [NPY_I8] = {"i1", 1},  [NPY_U16] = {"u2", 2},
    [NPY_I16] = {"i2", 2},  [NPY_U32] = {"u4", 4}, [NPY_I32] = {"i4", 4}, [NPY_U64] = {"u8", 8},
    [NPY_I64] = {"i8", 8},  [NPY_F32] = {"f4", 4}, [NPY_F64] = {"f8", 8},
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie");

size_t npy_dtype_bytes(enum npy_dtype dtype)
{
    return dtypes[dtype].bytes;
}

bool npy_sniff(const void *bytes, size_t size)
{
    return size >= MAGIC_BYTES && memcmp(bytes, magic, MAGIC_BYTES) == 0;
}

/* The header's dict: just as much Python as numpy writes */

struct cursor {
    const char *at, *end;
    struct err *e;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether the next character that is no space is c; then past it. */
static bool take(struct cursor *in, char c)
{
    while (in->at < in->end && is_space(*in->at))
        in->at++;
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

static bool expected(const struct cursor *in, const char *what)
{
    char quoted[UTF8_QUOTE_BYTES];
    if (in->at == in->end)
        return err_set(in->e, ERR_UNPROCESSABLE, "npy header ends, expected %s", what);
    return err_set(in->e, ERR_UNPROCESSABLE, "expected %s in the npy header before '%s'", what,
                   utf8_quote(quoted, in->at, (size_t)(in->end - in->at)));
}

/* A string in either kind of quotes, without escapes; cut text is told by its length. */
static bool take_string(struct cursor *in, const char **text, size_t *size, const char *what)
{
    char quote = take(in, '\'') ? '\'' : '"';
    if (quote == '"' && !take(in, '"'))
        return expected(in, what);
    *text = in->at;
    while (in->at < in->end && *in->at != quote && *in->at != '\\' && *in->at >= ' ')
        in->at++;
    if (in->at == in->end || *in->at != quote)
        return expected(in, "a closing quote");
    *size = (size_t)(in->at++ - *text);
    return true;
}

static bool take_word(struct cursor *in, const char *word)
{
    size_t size = strlen(word);
    struct cursor start = *in;
    if (!take(in, word[0]))
        return false;
    in->at--;
    if ((size_t)(in->end - in->at) < size || memcmp(in->at, word, size) != 0) {
        *in = start;
        return false;
    }
    in->at += size;
    return true;
}

static bool take_bool(struct cursor *in, bool *value)
{
    *value = take_word(in, "True");
    return *value || take_word(in, "False") || expected(in, "True or False");
}

/* Decimal, no sign, no leading zeros; Python 2 wrote 3 as 3L. */
static bool take_size(struct cursor *in, size_t *value)
{
    if (take(in, '0')) {
        *value = 0;
    } else {
        const char *start = in->at;
        for (*value = 0; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
            size_t digit = (size_t)(*in->at - '0');
            if (!memory_mul(*value, 10, value) || *value > SIZE_MAX - digit)
                return err_set(in->e, ERR_UNPROCESSABLE, "size in the npy header exceeds 2^64");
            *value += digit;
        }
        if (in->at == start)
            return expected(in, "a size");
    }
    if (in->at < in->end && *in->at == 'L')
        in->at++;
    return true;
}

/* A tuple of sizes: (), (3,), (3, 4), (3, 4,). */
static bool take_shape(struct cursor *in, struct npy *npy)
{
    if (!take(in, '('))
        return expected(in, "a shape in parentheses");
    npy->rank = 0;
    while (!take(in, ')')) {
        if (npy->rank == NPY_RANK_MAX)
            return err_set(in->e, ERR_UNPROCESSABLE, "npy array of more than %d axes",
                           NPY_RANK_MAX);
        if (!take_size(in, &npy->dims[npy->rank]))
            return false;
        npy->rank++;
        if (take(in, ','))
            continue;
        if (npy->rank == 1) /* (3) is a number */
            return expected(in, "','");
        if (!take(in, ')'))
            return expected(in, "',' or ')'");
        break;
    }
    return true;
}

static bool take_dtype(struct cursor *in, struct npy *npy)
{
    const char *text;
    size_t size;
    char quoted[UTF8_QUOTE_BYTES];
    if (take(in, '['))
        return err_set(in->e, ERR_UNPROCESSABLE, "npy arrays of structures are not read");
    if (!take_string(in, &text, &size, "a type in quotes"))
        return false;
    for (int i = 0; size == 3 && i < NPY_DTYPE_COUNT; i++) {
        if (memcmp(text + 1, dtypes[i].name, 2) != 0)
            continue;
        if (text[0] == '>' && dtypes[i].bytes > 1)
            return err_set(in->e, ERR_UNPROCESSABLE, "big-endian npy type '>%s', save it as '<%s'",
                           dtypes[i].name, dtypes[i].name);
        if (text[0] != '<' && text[0] != '>' && (text[0] != '|' || dtypes[i].bytes > 1))
            break;
        npy->dtype = (enum npy_dtype)i;
        return true;
    }
    return err_set(in->e, ERR_UNPROCESSABLE,
                   "npy type '%s' is not read, only b1, i1 to i8, u1 to u8, f4 and f8",
                   utf8_quote(quoted, text, size));
}

enum key { KEY_DESCR, KEY_ORDER, KEY_SHAPE, KEY_COUNT };
static const char *const keys[KEY_COUNT] = {"descr", "fortran_order", "shape"};

/* KEY_COUNT: none that we know. */
static enum key take_key(struct cursor *in)
{
    const char *text;
    size_t size;
    char quoted[UTF8_QUOTE_BYTES];
    if (!take_string(in, &text, &size, "a key in quotes"))
        return KEY_COUNT;
    for (int i = 0; i < KEY_COUNT; i++)
        if (strlen(keys[i]) == size && memcmp(keys[i], text, size) == 0)
            return (enum key)i;
    err_set(in->e, ERR_UNPROCESSABLE, "unknown key '%s' in the npy header",
            utf8_quote(quoted, text, size));
    return KEY_COUNT;
}

static bool take_member(struct cursor *in, struct npy *npy, bool *fortran, bool seen[KEY_COUNT])
{
    enum key key = take_key(in);
    if (key == KEY_COUNT)
        return false;
    if (seen[key])
        return err_set(in->e, ERR_UNPROCESSABLE, "key '%s' twice in the npy header", keys[key]);
    seen[key] = true;
    if (!take(in, ':'))
        return expected(in, "':'");
    switch (key) {
    case KEY_DESCR:
        return take_dtype(in, npy);
    case KEY_ORDER:
        return take_bool(in, fortran);
    default:
        return take_shape(in, npy);
    }
}

static bool parse_dict(struct cursor *in, struct npy *npy, bool *fortran)
{
    bool seen[KEY_COUNT] = {false};
    if (!take(in, '{'))
        return expected(in, "'{'");
    while (!take(in, '}')) {
        if (!take_member(in, npy, fortran, seen))
            return false;
        if (take(in, ','))
            continue;
        if (!take(in, '}'))
            return expected(in, "',' or '}'");
        break;
    }
    while (in->at < in->end && is_space(*in->at))
        in->at++;
    if (in->at < in->end)
        return expected(in, "nothing more");
    for (int i = 0; i < KEY_COUNT; i++)
        if (!seen[i])
            return err_set(in->e, ERR_UNPROCESSABLE, "no key '%s' in the npy header", keys[i]);
    return true;
}

/* Where the dict begins and ends. */
static bool find_dict(const uint8_t *p, size_t size, struct cursor *in, struct err *e)
{
    if (!npy_sniff(p, size))
        return err_set(e, ERR_UNPROCESSABLE, "not an npy file: it does not begin with \\x93NUMPY");
    if (size < 10)
        return err_set(e, ERR_UNPROCESSABLE, "npy file of %zu bytes ends in its head", size);
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return err_set(e, ERR_UNPROCESSABLE, "npy version %d.%d, versions 1.0 to 3.0 are read",
                       p[6], p[7]);
    size_t start = p[6] == 1 ? 10 : 12, dict = (size_t)p[8] | (size_t)p[9] << 8;
    if (size < start)
        return err_set(e, ERR_UNPROCESSABLE, "npy file of %zu bytes ends in its head", size);
    if (p[6] > 1)
        dict |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (dict > HEADER_BYTES_MAX)
        return err_set(e, ERR_UNPROCESSABLE, "npy header of %zu bytes exceeds %d", dict,
                       HEADER_BYTES_MAX);
    if (dict > size - start)
        return err_set(e, ERR_UNPROCESSABLE, "npy file of %zu bytes, its header alone needs %zu",
                       size, start + dict);
    const char *text = (const char *)p + start;
    *in = (struct cursor){.at = text, .end = text + dict, .e = e};
    return true;
}

bool npy_parse(const void *bytes, size_t size, struct npy *npy, struct err *e)
{
    struct npy parsed = {.count = 1};
    struct cursor in;
    bool fortran = false;
    if (!find_dict(bytes, size, &in, e) || !parse_dict(&in, &parsed, &fortran))
        return false;
    if (fortran && parsed.rank > 1)
        return err_set(e, ERR_UNPROCESSABLE,
                       "npy array in Fortran order, save it with numpy.ascontiguousarray");

    size_t wanted = npy_dtype_bytes(parsed.dtype);
    for (int i = 0; i < parsed.rank; i++)
        if (!memory_mul(wanted, parsed.dims[i], &wanted))
            return err_set(e, ERR_UNPROCESSABLE, "npy header announces more than 2^64 bytes");
    parsed.count = wanted / npy_dtype_bytes(parsed.dtype);
    parsed.data = (const uint8_t *)in.end;
    size_t held = size - (size_t)(parsed.data - (const uint8_t *)bytes);
    if (held != wanted)
        return err_set(e, ERR_UNPROCESSABLE,
                       "npy file holds %zu bytes of values, its header says "
                       "%zu",
                       held, wanted);
    *npy = parsed;
    return true;
}

/* Values */

/* Value i as a double. 64-bit integers past 2^53 are rounded, which the rounding to float after it
 * or the bound of 255 makes no worse. */
static double value_at(const struct npy *npy, size_t i)
{
    const uint8_t *p = npy->data + i * npy_dtype_bytes(npy->dtype);
    union {
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } v;
    memcpy(&v, p, npy_dtype_bytes(npy->dtype));
    switch (npy->dtype) {
    case NPY_BOOL:
        return *p != 0;
    case NPY_U8:
        return *p;
    case NPY_I8:
        return (int8_t)*p;
    case NPY_U16:
        return v.u16;
    case NPY_I16:
        return v.i16;
    case NPY_U32:
        return v.u32;
    case NPY_I32:
        return v.i32;
    case NPY_U64:
        return (double)v.u64;
    case NPY_I64:
        return (double)v.i64;
    case NPY_F32:
        return (double)v.f32;
    default:
        return v.f64;
    }
}

bool npy_read_f32(const struct npy *npy, size_t first, size_t n, float *out, struct err *e)
{
    CHECK(first <= npy->count && n <= npy->count - first);
    for (size_t i = 0; i < n; i++) {
        double value = value_at(npy, first + i);
        out[i] = (float)value;
        if (!isfinite(out[i]))
            return err_set(e, ERR_UNPROCESSABLE, "value %zu of the npy array is %g, %s", first + i,
                           value, isfinite(value) ? "too large for float32" : "not finite");
    }
    return true;
}

bool npy_read_u8(const struct npy *npy, size_t first, size_t n, uint8_t *out, struct err *e)
{
    CHECK(first <= npy->count && n <= npy->count - first);
    for (size_t i = 0; i < n; i++) {
        double value = value_at(npy, first + i);
        if (!(value >= 0 && value <= UINT8_MAX) || value != (uint8_t)value)
            return err_set(e, ERR_UNPROCESSABLE,
                           "value %zu of the npy array is %g, not a whole number from 0 to 255",
                           first + i, value);
        out[i] = (uint8_t)value;
    }
    return true;
}

void npy_write_head(struct buf *out, enum npy_dtype dtype, int rank, const size_t *dims)
{
    CHECK(rank >= 0 && rank <= NPY_RANK_MAX);
    struct buf dict = {0};
    buf_fmt(&dict, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
            npy_dtype_bytes(dtype) > 1 ? '<' : '|', dtypes[dtype].name);
    for (int i = 0; i < rank; i++)
        buf_fmt(&dict, "%s%zu", i ? ", " : "", dims[i]);
    buf_str(&dict, rank == 1 ? ",), }" : "), }");
    while (buf_ok(&dict) && (MAGIC_BYTES + 4 + dict.size + 1) % HEAD_ALIGN_BYTES != 0)
        buf_str(&dict, " ");
    buf_str(&dict, "\n");
    out->failed |= !buf_ok(&dict);
    buf_add(out, magic, MAGIC_BYTES);
    buf_add(out, (char[]){1, 0, (char)(dict.size & 0xff), (char)(dict.size >> 8)}, 4);
    buf_add(out, dict.data, dict.size);
    buf_clear(&dict);
}
