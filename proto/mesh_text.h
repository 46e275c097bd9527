/* mesh_text.h - lines and words of a text mesh, and a mesh that grows while it is read: what the
 * readers of OFF, STL and OBJ share. Words are cut at blanks, lines at LF, CRLF or CR; numbers do
 * not depend on the locale. */
#ifndef STRIDED_MESH_TEXT_H
#define STRIDED_MESH_TEXT_H

#include "mesh.h"
#include "utf8.h"

struct mesh_text {
    const char *p, *end; /* what lies behind the current line */
    const char *word, *line_end;
    unsigned long line; /* 1-based number of the current line; 0 before the first */
    bool comments;      /* '#' hides the rest of a line */
};

/* Starts before the first line, behind a byte order mark. */
struct mesh_text mesh_text_start(const void *bytes, size_t size, bool comments);
/* Goes to the next line that has a word; false at the end. */
bool mesh_text_line(struct mesh_text *text);

struct mesh_word {
    const char *start;
    size_t size; /* 0: none left on this line */
};
/* Takes the next word of the current line. */
struct mesh_word mesh_text_word(struct mesh_text *text);
bool mesh_word_is(struct mesh_word word, const char *lowercase); /* ASCII case aside */
const char *mesh_word_quote(char out[UTF8_QUOTE_BYTES], struct mesh_word word);

/* Takes three coordinates from the current line: decimal numbers, finite in a float. */
bool mesh_text_point(struct mesh_text *text, float point[3], struct err *e);
/* A whole number without a sign; UINT64_MAX for any that does not fit; false if it is none. */
bool mesh_word_count(struct mesh_word word, uint64_t *count);

/* ---- building ---- */

struct mesh_build {
    struct cnn_mesh mesh; /* the counts are those reached so far */
    size_t vertex_room, triangle_room;
};
bool mesh_add_vertex(struct mesh_build *build, const float point[3], struct err *e);
/* a, b, c must be checked by the caller against the vertices. */
bool mesh_add_triangle(struct mesh_build *build, uint32_t a, uint32_t b, uint32_t c, struct err *e);

/* A polygon as a fan, corner by corner; starts as {0}. */
struct mesh_fan {
    uint64_t corners;
    uint32_t first, last;
};
bool mesh_add_corner(struct mesh_build *build, struct mesh_fan *fan, uint32_t corner,
                     struct err *e);

/* ---- the readers; `build` starts empty, its owner frees it also on failure ---- */

bool off_parse(const void *bytes, size_t size, struct mesh_build *build, struct err *e);
bool obj_parse(const void *bytes, size_t size, struct mesh_build *build, struct err *e);
bool stl_parse_text(const void *bytes, size_t size, struct mesh_build *build, struct err *e);
/* These bytes must be as many as stl_binary_bytes() says. */
bool stl_parse_binary(const void *bytes, size_t size, struct mesh_build *build, struct err *e);
/* How large a binary STL with this head is by its count; 0 if even the head is cut off. */
uint64_t stl_binary_bytes(const void *bytes, size_t size);
/* Whether this is the first word of an OFF file, its counts perhaps glued to it; *keyword_size is
 * the length of "OFF", "COFF", "STNOFF"... */
bool off_is_header(struct mesh_word word, size_t *keyword_size);

#endif
