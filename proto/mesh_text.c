#include "mesh_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "number.h"

enum { NUMBER_BYTES_MAX = 128, ROOM_FIRST = 256 };

/* ---- lines and words ---- */

struct mesh_text mesh_text_start(const void *bytes, size_t size, bool comments)
{
    const char *p = bytes;
    size_t mark = size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return (struct mesh_text){.p = p + mark, .end = p + size, .comments = comments};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

/* Cuts the line that begins at text->p. */
static void cut_line(struct mesh_text *text)
{
    const char *p = text->p;
    text->word = p;
    text->line_end = NULL;
    for (; p < text->end && *p != '\n' && *p != '\r'; p++)
        if (*p == '#' && text->comments && !text->line_end)
            text->line_end = p;
    if (!text->line_end)
        text->line_end = p;
    if (p < text->end)
        p += *p == '\r' && p + 1 < text->end && p[1] == '\n' ? 2 : 1;
    text->p = p;
    text->line++;
}

static void skip_blanks(struct mesh_text *text)
{
    while (text->word < text->line_end && is_blank(*text->word))
        text->word++;
}

bool mesh_text_line(struct mesh_text *text)
{
    while (text->p < text->end) {
        cut_line(text);
        skip_blanks(text);
        if (text->word < text->line_end)
            return true;
    }
    return false;
}

struct mesh_word mesh_text_word(struct mesh_text *text)
{
    skip_blanks(text);
    struct mesh_word word = {.start = text->word};
    while (text->word < text->line_end && !is_blank(*text->word))
        text->word++;
    word.size = (size_t)(text->word - word.start);
    return word;
}

bool mesh_word_is(struct mesh_word word, const char *lowercase)
{
    size_t i = 0;
    for (; i < word.size && lowercase[i]; i++) {
        char c = word.start[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lowercase[i])
            return false;
    }
    return i == word.size && !lowercase[i];
}

const char *mesh_word_quote(char out[UTF8_QUOTE_BYTES], struct mesh_word word)
{
    return utf8_quote(out, word.start, word.size);
}

/* ---- numbers ---- */

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* What C prints and reads but JSON does not have, rewritten: "+1", "007", ".5", "5.". Returns the
 * size, 0 for what is too long for a
 * coordinate or has two signs. */
static size_t as_json(struct mesh_word word, char out[NUMBER_BYTES_MAX])
{
    const char *p = word.start, *end = p + word.size;
    size_t n = 0;
    if (word.size == 0 || word.size > NUMBER_BYTES_MAX - 2)
        return 0;
    if (*p == '-' || *p == '+') {
        if (*p == '-')
            out[n++] = '-';
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            return 0;
    }
    while (p < end && *p == '0' && is_digit(p + 1, end))
        p++;
    if (p < end && *p == '.' && is_digit(p + 1, end))
        out[n++] = '0';
    for (; p < end; p++)
        if (*p != '.' || is_digit(p + 1, end))
            out[n++] = *p;
    return n;
}

static bool word_number(struct mesh_word word, float *value)
{
    char json[NUMBER_BYTES_MAX];
    if (number_read(word.start, word.size, value) == word.size)
        return true;
    size_t size = as_json(word, json);
    return size > 0 && number_read(json, size, value) == size;
}

bool mesh_text_point(struct mesh_text *text, float point[3], struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    for (int i = 0; i < 3; i++) {
        struct mesh_word word = mesh_text_word(text);
        if (word.size == 0)
            return err_set(e, ERR_UNPROCESSABLE, "%d coordinates on line %lu, expected 3", i,
                           text->line);
        if (!word_number(word, &point[i]))
            return err_set(e, ERR_UNPROCESSABLE, "coordinate '%s' on line %lu is not a number",
                           mesh_word_quote(quoted, word), text->line);
        if (!isfinite(point[i]))
            return err_set(e, ERR_UNPROCESSABLE, "coordinate '%s' on line %lu is too large",
                           mesh_word_quote(quoted, word), text->line);
    }
    return true;
}

bool mesh_word_count(struct mesh_word word, uint64_t *count)
{
    *count = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (!is_digit(word.start + i, word.start + word.size))
            return false;
        uint64_t digit = (uint64_t)(word.start[i] - '0');
        bool fits = *count <= (UINT64_MAX - digit) / 10;
        *count = fits ? *count * 10 + digit : UINT64_MAX;
    }
    return word.size > 0;
}

/* ---- building ---- */

/* Room for one more triple; doubling, so that the memory is at most twice what was read. */
static void *grow(void *triples, size_t count, size_t *room, size_t max, struct err *e)
{
    if (count < *room)
        return triples;
    size_t more = *room ? 2 * *room : ROOM_FIRST;
    more = more > max ? max : more;
    void *grown = realloc(triples, more * 3 * sizeof(uint32_t));
    if (!grown)
        err_no_memory(e);
    else
        *room = more;
    return grown;
}
_Static_assert(sizeof(float) == sizeof(uint32_t), "grow() serves vertices and triangles");

bool mesh_add_vertex(struct mesh_build *build, const float point[3], struct err *e)
{
    struct cnn_mesh *mesh = &build->mesh;
    if (mesh->vertex_count >= LIMIT_MESH_VERTICES)
        return err_set(e, ERR_UNPROCESSABLE, "more than %d vertices", LIMIT_MESH_VERTICES);
    float *grown =
        grow(mesh->vertices, mesh->vertex_count, &build->vertex_room, LIMIT_MESH_VERTICES, e);
    if (!grown)
        return false;
    mesh->vertices = grown;
    memcpy(grown + 3 * (size_t)mesh->vertex_count++, point, 3 * sizeof *grown);
    return true;
}

bool mesh_add_triangle(struct mesh_build *build, uint32_t a, uint32_t b, uint32_t c, struct err *e)
{
    struct cnn_mesh *mesh = &build->mesh;
    if (mesh->triangle_count >= LIMIT_MESH_TRIANGLES)
        return err_set(e, ERR_UNPROCESSABLE, "more than %d triangles", LIMIT_MESH_TRIANGLES);
    uint32_t *grown =
        grow(mesh->triangles, mesh->triangle_count, &build->triangle_room, LIMIT_MESH_TRIANGLES, e);
    if (!grown)
        return false;
    mesh->triangles = grown;
    memcpy(grown + 3 * (size_t)mesh->triangle_count++, (uint32_t[]){a, b, c}, 3 * sizeof *grown);
    return true;
}

bool mesh_add_corner(struct mesh_build *build, struct mesh_fan *fan, uint32_t corner, struct err *e)
{
    if (fan->corners++ == 0)
        fan->first = corner;
    else if (fan->corners > 2 && !mesh_add_triangle(build, fan->first, fan->last, corner, e))
        return false;
    fan->last = corner;
    return true;
}
