#include "mesh.h"

#include <inttypes.h>
#include <string.h>

#include "mesh_text.h"

static bool begins_obj(struct mesh_word word)
{
    static const char *const words[] = {"v", "vt", "vn", "vp", "f",      "l",      "p",
                                        "o", "g",  "s",  "mg", "mtllib", "usemtl", NULL};
    for (int i = 0; words[i]; i++) {
        if (mesh_word_is(word, words[i]))
            return true;
    }
    return false;
}

/* Raw samples are sniffed too, and may be one long line: most do not even begin like text. */
static bool begins_text(struct mesh_text text)
{
    while (text.p < text.end && memchr(" \t\v\f\r\n", *text.p, 6))
        text.p++;
    return text.p<text.end && * text.p> ' ' && *text.p < 0x7f;
}

enum mesh_format mesh_sniff(const void *bytes, size_t size)
{
    size_t keyword_size;
    /* First: its free header may well begin with "solid". */
    if (size > 0 && stl_binary_bytes(bytes, size) == size)
        return MESH_STL_BINARY;
    struct mesh_text text = mesh_text_start(bytes, size, true);
    if (!begins_text(text) || !mesh_text_line(&text))
        return MESH_UNKNOWN;
    struct mesh_word word = mesh_text_word(&text);
    if (off_is_header(word, &keyword_size))
        return MESH_OFF;
    if (mesh_word_is(word, "solid"))
        return MESH_STL_TEXT;
    return begins_obj(word) ? MESH_OBJ : MESH_UNKNOWN;
}

static bool parse(const void *bytes, size_t size, struct mesh_build *build, struct err *e)
{
    switch (mesh_sniff(bytes, size)) {
    case MESH_OFF:
        return off_parse(bytes, size, build, e);
    case MESH_STL_BINARY:
        return stl_parse_binary(bytes, size, build, e);
    case MESH_STL_TEXT:
        return stl_parse_text(bytes, size, build, e);
    case MESH_OBJ:
        return obj_parse(bytes, size, build, e);
    case MESH_UNKNOWN:
        break;
    }
    uint64_t expected = stl_binary_bytes(bytes, size);
    if (expected == 0)
        return err_set(e, ERR_UNPROCESSABLE, "%zu bytes that begin like no mesh (OFF, STL, OBJ)",
                       size);
    return err_set(e, ERR_UNPROCESSABLE,
                   "%zu bytes that begin like neither OFF nor OBJ; a binary STL with this head has "
                   "%" PRIu64,
                   size, expected);
}

bool mesh_parse(const void *bytes, size_t size, struct cnn_mesh *mesh, struct err *e)
{
    struct mesh_build build = {0};
    *mesh = (struct cnn_mesh){0};
    bool ok = parse(bytes, size, &build, e);
    if (ok && build.mesh.vertex_count == 0)
        ok = err_set(e, ERR_UNPROCESSABLE, "the mesh has no vertices");
    if (ok)
        *mesh = build.mesh;
    else
        cnn_mesh_clear(&build.mesh);
    return ok;
}
