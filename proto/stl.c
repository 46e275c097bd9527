/* stl.c - stereolithography files: every triangle with three vertices of its own.
 *
 * Binary: 80 free bytes, a count, and for each triangle a normal, three vertices (12 floats,
 * little-endian) and two bytes of attributes. ASCII: nested keywords. Normals are skipped: the
 * vertices say the same. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "mesh_text.h"

enum {
    HEADER_BYTES = 80,
    COUNT_BYTES = 4,
    NORMAL_BYTES = 12,
    TRIANGLE_BYTES = 50,
};

/* ---- binary ---- */

static uint32_t read_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t stl_binary_bytes(const void *bytes, size_t size)
{
    if (size < HEADER_BYTES + COUNT_BYTES)
        return 0;
    uint64_t triangles = read_le32((const uint8_t *)bytes + HEADER_BYTES);
    return HEADER_BYTES + COUNT_BYTES + triangles * TRIANGLE_BYTES;
}

static bool read_triangle(const uint8_t *p, uint32_t index, struct mesh_build *build, struct err *e)
{
    uint32_t first = build->mesh.vertex_count;
    for (int corner = 0; corner < 3; corner++) {
        float point[3];
        for (int i = 0; i < 3; i++) {
            uint32_t bits = read_le32(p + NORMAL_BYTES + 12 * corner + 4 * i);
            memcpy(&point[i], &bits, sizeof bits);
            if (!isfinite(point[i]))
                return err_set(e, ERR_UNPROCESSABLE,
                               "corner %d of triangle %u is not a finite number", corner, index);
        }
        if (!mesh_add_vertex(build, point, e))
            return false;
    }
    return mesh_add_triangle(build, first, first + 1, first + 2, e);
}

bool stl_parse_binary(const void *bytes, size_t size, struct mesh_build *build, struct err *e)
{
    const uint8_t *p = bytes;
    CHECK(stl_binary_bytes(bytes, size) == size);
    uint32_t count = read_le32(p + HEADER_BYTES);
    p += HEADER_BYTES + COUNT_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        if (!read_triangle(p + (size_t)i * TRIANGLE_BYTES, i, build, e))
            return false;
    }
    return true;
}

/* ---- text ---- */

enum place { OUTSIDE, SOLID, FACET, LOOP, LOOP_DONE };

/* Each keyword is taken in one place and leads to another. */
static const struct {
    const char *word;
    enum place from, to;
} keywords[] = {
    {"solid", OUTSIDE, SOLID},    {"facet", SOLID, FACET},      {"outer", FACET, LOOP},
    {"vertex", LOOP, LOOP},       {"endloop", LOOP, LOOP_DONE}, {"endfacet", LOOP_DONE, SOLID},
    {"endsolid", SOLID, OUTSIDE},
};
enum { KEYWORDS = sizeof keywords / sizeof keywords[0], VERTEX = 3, ENDLOOP = 4 };

static int find_keyword(struct mesh_word word, enum place place)
{
    for (int i = 0; i < KEYWORDS; i++) {
        if (keywords[i].from == place && mesh_word_is(word, keywords[i].word))
            return i;
    }
    return -1;
}

/* The triangle of the last three vertices. */
static bool end_loop(const struct mesh_text *text, uint32_t corners, struct mesh_build *build,
                     struct err *e)
{
    uint32_t end = build->mesh.vertex_count;
    if (corners != 3)
        return err_set(e, ERR_UNPROCESSABLE, "a loop of %u vertices ends on line %lu, expected 3",
                       corners, text->line);
    return mesh_add_triangle(build, end - 3, end - 2, end - 1, e);
}

bool stl_parse_text(const void *bytes, size_t size, struct mesh_build *build, struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    struct mesh_text text = mesh_text_start(bytes, size, false);
    enum place place = OUTSIDE;
    uint32_t corners = 0;
    while (mesh_text_line(&text)) {
        float point[3];
        struct mesh_word word = mesh_text_word(&text);
        int keyword = find_keyword(word, place);
        if (keyword < 0)
            return err_set(e, ERR_UNPROCESSABLE, "'%s' on line %lu is out of place",
                           mesh_word_quote(quoted, word), text.line);
        if (keyword == VERTEX) {
            if (!mesh_text_point(&text, point, e) || !mesh_add_vertex(build, point, e))
                return false;
            corners++;
        } else if (keyword == ENDLOOP) {
            if (!end_loop(&text, corners, build, e))
                return false;
            corners = 0;
        }
        place = keywords[keyword].to;
    }
    if (place != OUTSIDE)
        return err_set(e, ERR_UNPROCESSABLE, "the file ends on line %lu before 'endsolid'",
                       text.line);
    return true;
}
