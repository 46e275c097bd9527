/* off.c - the Object File Format of Geomview, as found in the wild.
 *
 * A header word (OFF, or with what else each vertex carries: COFF, NOFF, STOFF...), the counts of
 * vertices, faces and perhaps edges behind it, glued to it or below it, then a line a vertex and a
 * line a face. What follows the three coordinates of a vertex or the corners of a face (normals,
 * colours) is skipped. */
#include <inttypes.h>
#include <string.h>

#include "limits.h"
#include "mesh_text.h"

/* "OFF" behind the letters for texture, colour and normals. Of 4OFF (four coordinates) and nOFF
 * (any number of them) nothing can be made here. */
bool off_is_header(struct mesh_word word, size_t *keyword_size)
{
    const char *p = word.start, *end = p + word.size;
    if (end - p >= 2 && p[0] == 'S' && p[1] == 'T')
        p += 2;
    p += p < end && *p == 'C';
    p += p < end && *p == 'N';
    if (end - p < 3 || memcmp(p, "OFF", 3) != 0)
        return false;
    *keyword_size = (size_t)(p + 3 - word.start);
    return p + 3 == end || (p[3] >= '0' && p[3] <= '9');
}

struct off_counts {
    uint64_t vertices, faces;
};

static bool read_count(struct mesh_text *text, const char *what, uint64_t max, uint64_t *count,
                       struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    struct mesh_word word = mesh_text_word(text);
    if (!mesh_word_count(word, count))
        return err_set(e, ERR_UNPROCESSABLE, "'%s' on line %lu is no count of %s",
                       mesh_word_quote(quoted, word), text->line, what);
    if (*count > max)
        return err_set(e, ERR_UNPROCESSABLE,
                       "%s %s announced on line %lu, at most %" PRIu64 " are read",
                       mesh_word_quote(quoted, word), what, text->line, max);
    return true;
}

static bool read_header(struct mesh_text *text, struct off_counts *counts, struct err *e)
{
    size_t keyword_size;
    struct mesh_word word = {0};
    if (mesh_text_line(text))
        word = mesh_text_word(text);
    if (!off_is_header(word, &keyword_size))
        return err_set(e, ERR_UNPROCESSABLE, "no 'OFF' at the beginning");
    text->word = word.start + keyword_size; /* counts may be glued to it */
    struct mesh_text here = *text;
    if (mesh_text_word(&here).size == 0 && !mesh_text_line(text))
        return err_set(e, ERR_UNPROCESSABLE, "the file ends before its counts");
    return read_count(text, "vertices", LIMIT_MESH_VERTICES, &counts->vertices, e) &&
           read_count(text, "faces", LIMIT_MESH_TRIANGLES, &counts->faces, e);
}

static bool read_vertices(struct mesh_text *text, uint64_t count, struct mesh_build *build,
                          struct err *e)
{
    for (uint64_t i = 0; i < count; i++) {
        float point[3];
        if (!mesh_text_line(text))
            return err_set(e, ERR_UNPROCESSABLE,
                           "%" PRIu64 " vertices announced, the file ends after %" PRIu64, count,
                           i);
        if (!mesh_text_point(text, point, e) || !mesh_add_vertex(build, point, e))
            return false;
    }
    return true;
}

static bool read_corner(struct mesh_text *text, uint32_t vertex_count, uint32_t *corner,
                        struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    uint64_t index;
    struct mesh_word word = mesh_text_word(text);
    if (!mesh_word_count(word, &index))
        return err_set(e, ERR_UNPROCESSABLE, "'%s' on line %lu is no vertex number",
                       mesh_word_quote(quoted, word), text->line);
    if (index >= vertex_count)
        return err_set(e, ERR_UNPROCESSABLE, "vertex %s on line %lu, but there are %u",
                       mesh_word_quote(quoted, word), text->line, vertex_count);
    *corner = (uint32_t)index;
    return true;
}

/* The current line: the number of corners and then the corners. */
static bool read_face(struct mesh_text *text, struct mesh_build *build, struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    uint64_t corners;
    struct mesh_word word = mesh_text_word(text);
    struct mesh_fan fan = {0};
    if (!mesh_word_count(word, &corners))
        return err_set(e, ERR_UNPROCESSABLE, "'%s' on line %lu is no number of corners",
                       mesh_word_quote(quoted, word), text->line);
    while (fan.corners < corners) {
        uint32_t corner = 0;
        struct mesh_text here = *text;
        if (mesh_text_word(&here).size == 0)
            return err_set(e, ERR_UNPROCESSABLE,
                           "a face of %s corners on line %lu, which holds %" PRIu64,
                           mesh_word_quote(quoted, word), text->line, fan.corners);
        if (!read_corner(text, build->mesh.vertex_count, &corner, e) ||
            !mesh_add_corner(build, &fan, corner, e))
            return false;
    }
    return true;
}

bool off_parse(const void *bytes, size_t size, struct mesh_build *build, struct err *e)
{
    struct mesh_text text = mesh_text_start(bytes, size, true);
    struct off_counts counts;
    if (!read_header(&text, &counts, e) || !read_vertices(&text, counts.vertices, build, e))
        return false;
    for (uint64_t i = 0; i < counts.faces; i++) {
        if (!mesh_text_line(&text))
            return err_set(e, ERR_UNPROCESSABLE,
                           "%" PRIu64 " faces announced, the file ends after %" PRIu64,
                           counts.faces, i);
        if (!read_face(&text, build, e))
            return false;
    }
    if (mesh_text_line(&text))
        return err_set(e, ERR_UNPROCESSABLE,
                       "line %lu goes on after the %" PRIu64 " vertices and %" PRIu64
                       " faces announced",
                       text.line, counts.vertices, counts.faces);
    return true;
}
