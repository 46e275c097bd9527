/* obj.c - the geometry of Wavefront OBJ: lines "v x y z" and "f a b c ...", a corner being
 * "v", "v/vt", "v//vn" or "v/vt/vn". Vertices count from 1, or backwards from the last one read
 * (-1). Everything else (normals, textures, groups, materials, lines, curves) is skipped. */
#include <string.h>

#include "mesh_text.h"

/* A face may stand before its vertices: how many there will be is found first. */
static uint32_t count_vertices(struct mesh_text text)
{
    uint32_t count = 0;
    while (count < UINT32_MAX && mesh_text_line(&text))
        count += mesh_word_is(mesh_text_word(&text), "v");
    return count;
}

/* "7", "7/1", "7//3", "-2/..." to an index below `total`; `so_far` is where -1 counts from. */
static bool read_corner(const struct mesh_text *text, struct mesh_word word, uint32_t so_far,
                        uint32_t total, uint32_t *corner, struct err *e)
{
    char quoted[UTF8_QUOTE_BYTES];
    struct mesh_word number = word;
    uint64_t n;
    const char *slash = memchr(word.start, '/', word.size);
    if (slash)
        number.size = (size_t)(slash - word.start);
    bool backwards = number.size > 0 && *number.start == '-';
    number.start += backwards;
    number.size -= backwards;
    if (!mesh_word_count(number, &n))
        return err_set(e, ERR_UNPROCESSABLE, "'%s' on line %lu is no vertex number",
                       mesh_word_quote(quoted, word), text->line);
    uint32_t most = backwards ? so_far : total;
    if (n == 0 || n > most)
        return err_set(e, ERR_UNPROCESSABLE, "vertex '%s' on line %lu is out of range %s to %s%u",
                       mesh_word_quote(quoted, word), text->line, backwards ? "-1" : "1",
                       backwards ? "-" : "", most);
    *corner = (uint32_t)(backwards ? so_far - n : n - 1);
    return true;
}

static bool read_face(struct mesh_text *text, uint32_t total, struct mesh_build *build,
                      struct err *e)
{
    struct mesh_fan fan = {0};
    struct mesh_word word;
    while ((word = mesh_text_word(text)).size > 0) {
        uint32_t corner = 0;
        if (!read_corner(text, word, build->mesh.vertex_count, total, &corner, e) ||
            !mesh_add_corner(build, &fan, corner, e))
            return false;
    }
    if (fan.corners == 0)
        return err_set(e, ERR_UNPROCESSABLE, "a face without corners on line %lu", text->line);
    return true;
}

bool obj_parse(const void *bytes, size_t size, struct mesh_build *build, struct err *e)
{
    struct mesh_text text = mesh_text_start(bytes, size, true);
    uint32_t total = count_vertices(text);
    while (mesh_text_line(&text)) {
        float point[3];
        struct mesh_word word = mesh_text_word(&text);
        if (mesh_word_is(word, "v")) {
            if (!mesh_text_point(&text, point, e) || !mesh_add_vertex(build, point, e))
                return false;
        } else if (mesh_word_is(word, "f")) {
            if (!read_face(&text, total, build, e))
                return false;
        }
    }
    return true;
}
