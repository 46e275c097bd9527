#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "exact.h"
#include "harness.h"
#include "limits.h"
#include "mesh.h"
#include "rng.h"

/* ---- helpers ---- */

static bool parse(const void *bytes, size_t size, struct cnn_mesh *mesh, struct err *e)
{
    char *copy = exact_copy(bytes, size);
    *e = (struct err){0};
    bool ok = mesh_parse(copy, size, mesh, e);
    free(copy);
    if (!ok && (mesh->vertices || mesh->triangles || mesh->vertex_count))
        ck_abort_msg("a failed parse left a mesh behind");
    return ok;
}

static struct cnn_mesh reads(const char *text)
{
    struct cnn_mesh mesh;
    struct err e;
    ck_assert_msg(parse(text, strlen(text), &mesh, &e), "%s: %s", text, e.detail);
    return mesh;
}

static void refuses(const char *text, const char *why)
{
    struct cnn_mesh mesh;
    struct err e;
    ck_assert_msg(!parse(text, strlen(text), &mesh, &e), "'%s' was read", text);
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert_msg(strstr(e.detail, why) != NULL, "'%s': %s", text, e.detail);
}

static void check_mesh(const struct cnn_mesh *mesh)
{
    for (size_t i = 0; i < 3 * (size_t)mesh->vertex_count; i++)
        if (!isfinite(mesh->vertices[i]))
            ck_abort_msg("coordinate %zu is not finite", i);
    for (size_t i = 0; i < 3 * (size_t)mesh->triangle_count; i++)
        if (mesh->triangles[i] >= mesh->vertex_count)
            ck_abort_msg("index %u of %u", mesh->triangles[i], mesh->vertex_count);
}

static void reads_triangles(const char *text, uint32_t vertices, const uint32_t *triangles,
                            uint32_t count)
{
    struct cnn_mesh mesh = reads(text);
    ck_assert_uint_eq(mesh.vertex_count, vertices);
    ck_assert_uint_eq(mesh.triangle_count, count);
    for (uint32_t i = 0; i < 3 * count; i++)
        ck_assert_msg(mesh.triangles[i] == triangles[i], "'%s': index %u is %u", text, i,
                      mesh.triangles[i]);
    cnn_mesh_clear(&mesh);
}

/* ---- one cube in every format ---- */

static const int cube_vertices[8][3] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0},
                                        {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
static const int cube_sides[6][4] = {{0, 1, 2, 3}, {4, 5, 6, 7}, {0, 1, 5, 4},
                                     {1, 2, 6, 5}, {2, 3, 7, 6}, {3, 0, 4, 7}};

static void cube_off(struct buf *out)
{
    buf_str(out, "OFF\n8 6 0\n");
    for (int v = 0; v < 8; v++)
        buf_fmt(out, "%d %d %d\n", cube_vertices[v][0], cube_vertices[v][1], cube_vertices[v][2]);
    for (int s = 0; s < 6; s++)
        buf_fmt(out, "4 %d %d %d %d\n", cube_sides[s][0], cube_sides[s][1], cube_sides[s][2],
                cube_sides[s][3]);
}

static void cube_obj(struct buf *out)
{
    buf_str(out, "# a cube\nmtllib cube.mtl\no cube\n");
    for (int v = 0; v < 8; v++)
        buf_fmt(out, "v %d.0 %d.0 %d.0\n", cube_vertices[v][0], cube_vertices[v][1],
                cube_vertices[v][2]);
    buf_str(out, "vt 0 0\nvn 0 0 1\ns off\n");
    for (int s = 0; s < 6; s++)
        buf_fmt(out, "f %d %d/1 %d//1 %d/1/1\n", cube_sides[s][0] + 1, cube_sides[s][1] - 8,
                cube_sides[s][2] + 1, cube_sides[s][3] - 8);
}

/* Corner 0..2 of triangle 0..11. */
static const int *cube_corner(int triangle, int corner)
{
    static const int fan[2][3] = {{0, 1, 2}, {0, 2, 3}};
    return cube_vertices[cube_sides[triangle / 2][fan[triangle % 2][corner]]];
}

static void cube_stl_text(struct buf *out)
{
    buf_str(out, "solid cube\n");
    for (int t = 0; t < 12; t++) {
        buf_str(out, "  facet normal 0 0 0\n    outer loop\n");
        for (int c = 0; c < 3; c++) {
            const int *v = cube_corner(t, c);
            buf_fmt(out, "      vertex %d.000000e+00 %d %d.\n", v[0], v[1], v[2]);
        }
        buf_str(out, "    endloop\n  endfacet\n");
    }
    buf_str(out, "endsolid\n");
}

static void cube_stl_binary(struct buf *out)
{
    char head[80] = "solid this is not: the header is free";
    uint32_t count = 12;
    buf_add(out, head, sizeof head);
    buf_add(out, &count, sizeof count); /* as little-endian as the machines the tests run on */
    for (int t = 0; t < 12; t++) {
        float numbers[12] = {0};
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < 3; i++)
                numbers[3 + 3 * c + i] = (float)cube_corner(t, c)[i];
        buf_add(out, numbers, sizeof numbers);
        buf_add(out, "\0", 2);
    }
}

static const struct {
    enum mesh_format format;
    void (*write)(struct buf *out);
} cubes[] = {
    {MESH_OFF, cube_off},
    {MESH_OBJ, cube_obj},
    {MESH_STL_TEXT, cube_stl_text},
    {MESH_STL_BINARY, cube_stl_binary},
};
enum { CUBES = sizeof cubes / sizeof cubes[0], SIDE = 8, VOXELS = SIDE * SIDE * SIDE };

START_TEST(a_cube_in_every_format_gives_the_same_grid)
{
    static const struct cnn_shape shape = {.c = 1, .size = {SIDE, SIDE, SIDE}, .rank = 3};
    struct cnn_voxelize how = cnn_voxelize_defaults();
    for (int i = 0; i < CUBES; i++) {
        struct buf file = {0};
        struct cnn_mesh mesh;
        struct err e;
        uint8_t grid[VOXELS];
        cubes[i].write(&file);
        ck_assert_int_eq(mesh_sniff(file.data, file.size), cubes[i].format);
        ck_assert_msg(parse(file.data, file.size, &mesh, &e), "%s", e.detail);
        ck_assert_uint_eq(mesh.triangle_count, 12);
        ck_assert(cnn_voxels_from_mesh(&mesh, &how, &shape, grid, &e));
        for (int v = 0; v < VOXELS; v++) { /* the six sides, hollow inside */
            int at[] = {v / (SIDE * SIDE), v / SIDE % SIDE, v % SIDE};
            bool surface = false;
            for (int a = 0; a < 3; a++)
                surface |= at[a] == 0 || at[a] == SIDE - 1;
            ck_assert_msg(grid[v] == surface, "format %d, voxel %d", i, v);
        }
        cnn_mesh_clear(&mesh);
        buf_clear(&file);
    }
}
END_TEST

START_TEST(truncated_at_every_byte_is_refused_or_a_smaller_mesh)
{
    for (int i = 0; i < CUBES; i++) {
        struct buf file = {0};
        cubes[i].write(&file);
        for (size_t size = 0; size < file.size; size++) {
            struct cnn_mesh mesh;
            struct err e;
            bool ok = parse(file.data, size, &mesh, &e);
            if (!ok) {
                ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
                continue;
            }
            /* The last line end may go; OBJ announces nothing, so that any corner may be its end.
             */
            ck_assert(cubes[i].format == MESH_OBJ ||
                      (cubes[i].format != MESH_STL_BINARY && size == file.size - 1));
            ck_assert(mesh.vertex_count <= 8 || mesh.triangle_count == 12);
            check_mesh(&mesh);
            cnn_mesh_clear(&mesh);
        }
        buf_clear(&file);
    }
}
END_TEST

START_TEST(flipped_bytes_never_crash)
{
    struct cnn_rng rng;
    cnn_rng_init(&rng, 1, 0);
    for (int i = 0; i < CUBES; i++) {
        struct buf file = {0};
        cubes[i].write(&file);
        for (int round = 0; round < 2000; round++) {
            char *copy = exact_copy(file.data, file.size);
            struct cnn_mesh mesh;
            struct err e;
            for (int flips = 0; flips < 3; flips++)
                copy[cnn_rng_below(&rng, (uint32_t)file.size)] = (char)cnn_rng_below(&rng, 256);
            if (mesh_parse(copy, file.size, &mesh, &e)) {
                check_mesh(&mesh);
                cnn_mesh_clear(&mesh);
            }
            free(copy);
        }
        buf_clear(&file);
    }
}
END_TEST

START_TEST(what_is_no_mesh_is_refused)
{
    struct cnn_mesh mesh;
    struct err e;
    char zeros[200] = {0};
    refuses("", "0 bytes that begin like no mesh");
    refuses("\n \n# only a comment\n", "begin like no mesh");
    refuses("\x89PNG\r\n", "begin like no mesh");
    refuses("PLY\n", "begin like no mesh");
    refuses("4OFF 1 0 0\n0 0 0 1\n", "begin like no mesh");
    refuses("nOFF 3\n1 0 0\n0 0 0\n", "begin like no mesh");
    zeros[80] = 3;
    ck_assert(!parse(zeros, sizeof zeros, &mesh, &e));
    ck_assert_str_eq(e.detail, "200 bytes that begin like neither OFF nor OBJ; a binary STL with "
                               "this head has 234");
}
END_TEST

/* ---- OFF ---- */

#define TETRA_VERTICES "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
#define TETRA_FACES "3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
static const uint32_t tetra[] = {0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3};

START_TEST(off_is_read_as_found_in_the_wild)
{
    static const char *const texts[] = {
        "OFF\n4 4 6\n" TETRA_VERTICES TETRA_FACES,
        "OFF4 4 6\n" TETRA_VERTICES TETRA_FACES,
        "OFF 4 4 6\n" TETRA_VERTICES TETRA_FACES,
        "OFF\n4 4\n" TETRA_VERTICES TETRA_FACES,
        "\xef\xbb\xbfOFF\n4 4 0\n" TETRA_VERTICES TETRA_FACES,
        "# by hand\n\n  OFF # here\n# counts\n4 4 6\n\n" TETRA_VERTICES "\n#\n" TETRA_FACES "#\n\n",
        "OFF\r\n4 4 6\r\n0 0 0\r\n1 0 0\r\n0 1 0\r\n0 0 1\r\n3 0 1 2\r\n3 0 1 3\r\n3 0 2 3\r\n3 1 "
        "2 "
        "3\r\n",
        "OFF\r4 4 6\r0 0 0\r1 0 0\r0 1 0\r0 0 1\r3 0 1 2\r3 0 1 3\r3 0 2 3\r3 1 2 3",
        "OFF\n4 4 6\n\t0  0 0 \n 1\t0 0\n0 1 0\n0 0 1\n 3  0 1 2 \n3 0 1 3\n3\t0 2 3\n3 1 2 3",
        "COFF\n4 4 6\n0 0 0 255 0 0 255\n1 0 0 .5 1 0 1\n0 1 0 1\n0 0 1\n" TETRA_FACES,
        "NOFF\n4 4 6\n0 0 0 0 0 1\n1 0 0 0 0 1\n0 1 0 0 0 1\n0 0 1 0 0 1\n" TETRA_FACES,
        "STOFF 4 4 6\n0 0 0 0 1\n1 0 0 0 1\n0 1 0 1 1\n0 0 1 1 0\n" TETRA_FACES,
        "STCNOFF\n4 4 6\n" TETRA_VERTICES TETRA_FACES,
        "OFF\n4 4 6\n" TETRA_VERTICES
        "3 0 1 2 255 0 0\n3 0 1 3 0.5 0.5 0.5 1\n3 0 2 3 7\n3 1 2 3\n",
        "OFF\n4 5 6\n" TETRA_VERTICES "2 0 1\n" TETRA_FACES,
        "OFF\n4 6 6\n" TETRA_VERTICES "1 0\n0\n" TETRA_FACES,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        reads_triangles(texts[i], 4, tetra, 4);
}
END_TEST

START_TEST(polygons_become_fans)
{
    static const uint32_t fan[] = {4, 0, 1, 4, 1, 2, 4, 2, 3};
    reads_triangles("OFF\n5 1 0\n0 0 0\n1 0 0\n2 1 0\n1 2 0\n0 1 0\n5 4 0 1 2 3 255 0 0\n", 5, fan,
                    3);
    reads_triangles("v 0 0 0\nv 1 0 0\nv 2 1 0\nv 1 2 0\nv 0 1 0\nf 5 1 2 3 4\n", 5, fan, 3);
}
END_TEST

START_TEST(numbers_are_read_as_programs_write_them)
{
    static const float expected[] = {1, -1, 0.5f,  -0.5f, 5,    5e3f,       7,     0,      0,
                                     0, 0,  1e-7f, 1e30f, 0.1f, 16777217.f, 0.25f, 1e-45f, 1};
    setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* where there is one, it must not matter */
    struct cnn_mesh mesh =
        reads("OFF 6 0 0\n+1 -1 .5\n-.5 5. 5.e3\n007 -0 0.\n00 1e-400 1E-07\n1e+30 +.1 16777217\n"
              "0.25000000000000000000000000000000000000000000000000 1e-45 "
              "0.99999999999999999999999999999999\n");
    ck_assert_uint_eq(mesh.vertex_count, 6);
    for (int i = 0; i < 18; i++)
        ck_assert_msg(mesh.vertices[i] == expected[i], "number %d is %.9g", i,
                      (double)mesh.vertices[i]);
    cnn_mesh_clear(&mesh);
}
END_TEST

START_TEST(points_alone_are_a_mesh)
{
    struct cnn_mesh mesh = reads("OFF 2 0 0\n0 0 0\n1 1 1\n");
    ck_assert_uint_eq(mesh.vertex_count, 2);
    ck_assert_uint_eq(mesh.triangle_count, 0);
    cnn_mesh_clear(&mesh);
    mesh = reads("v 1 2 3\n");
    ck_assert_uint_eq(mesh.vertex_count, 1);
    cnn_mesh_clear(&mesh);
    refuses("OFF 0 0 0\n", "the mesh has no vertices");
    refuses("o nothing\n", "the mesh has no vertices");
    refuses("solid nothing\nendsolid\n", "the mesh has no vertices");
}
END_TEST

START_TEST(broken_off_is_refused_with_the_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"OFF", "the file ends before its counts"},
        {"OFF BINARY\n4 4 6\n", "'BINARY' on line 1 is no count of vertices"},
        {"OFF\n4\n", "'' on line 2 is no count of faces"},
        {"OFF\n-4 4 6\n", "'-4' on line 2 is no count of vertices"},
        {"OFF\n4.5 4 6\n", "'4.5' on line 2 is no count of vertices"},
        {"OFF\n4294967296 4 6\n", "4294967296 vertices announced on line 2, at most 4194304"},
        {"OFF\n99999999999999999999999 4 6\n", "99999999999999999999999 vertices announced"},
        {"OFF\n4 2147483648 6\n", "2147483648 faces announced on line 2"},
        {"OFF\n5 4 6\n" TETRA_VERTICES, "5 vertices announced, the file ends after 4"},
        {"OFF\n4000000 4 6\n" TETRA_VERTICES, "4000000 vertices announced, the file ends after 4"},
        {"OFF\n4 5 6\n" TETRA_VERTICES TETRA_FACES, "5 faces announced, the file ends after 4"},
        {"OFF\n4 3 6\n" TETRA_VERTICES TETRA_FACES, "line 10 goes on after the 4 vertices and 3"},
        {"OFF\n3 4 6\n" TETRA_VERTICES TETRA_FACES, "vertex 3 on line 8, but there are 3"},
        {"OFF\n1 0 0\n0 0\n", "2 coordinates on line 3, expected 3"},
        {"OFF\n1 0 0\n0 0 zero\n", "coordinate 'zero' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 0 1,5\n", "coordinate '1,5' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 0 nan\n", "coordinate 'nan' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 -inf 0\n", "coordinate '-inf' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 1.#QNAN 0\n", "2 coordinates on line 3"}, /* a comment */
        {"OFF\n1 0 0\n0 0x10 0\n", "coordinate '0x10' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 + 0\n", "coordinate '+' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 . 0\n", "coordinate '.' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 1.2.3 0\n", "coordinate '1.2.3' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 1e 0\n", "coordinate '1e' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 +-1 0\n", "coordinate '+-1' on line 3 is not a number"},
        {"OFF\n1 0 0\n0 1e39 0\n", "coordinate '1e39' on line 3 is too large"},
        {"OFF\n1 0 0\n0 -1e999 0\n", "coordinate '-1e999' on line 3 is too large"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3 0 1 4\n", "vertex 4 on line 7, but there are 4"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3 0 1 4294967297\n", "vertex 4294967297 on line 7"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3 0 1 -1\n", "'-1' on line 7 is no vertex number"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3 0 1\n", "a face of 3 corners on line 7, which holds 2"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3 0 1\n2\n", "a face of 3 corners on line 7"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "2147483648 0 1 2\n",
         "a face of 2147483648 corners on line 7, which holds 3"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "99999999999999999999 0 1 2\n", "on line 7, which holds 3"},
        {"OFF\n4 1 0\n" TETRA_VERTICES "3.0 0 1 2\n", "'3.0' on line 7 is no number of corners"},
        {"OFF\r\n1 0 0\r\n\r\n# c\r\n0 0 x\r\n", "on line 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuses(cases[i].text, cases[i].why);
}
END_TEST

/* ---- OBJ ---- */

START_TEST(obj_counts_from_one_and_backwards)
{
    static const uint32_t first[] = {0, 1, 2}, mixed[] = {0, 1, 2, 1, 2, 3};
    reads_triangles("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", 3, first, 1);
    reads_triangles("v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 1\nf -3/4/5 -2//9 -1/1\n", 4,
                    mixed, 2);
    reads_triangles("f 1 2 3\nv 0 0 0\nv 1 0 0\nv 0 1 0\n", 3, first, 1); /* forward */
    reads_triangles("v 0 0 0 1.0\r\nv 1 0 0 .5 .5 .5\r\nv 0 1 0\r\nf 1 2\r\nl 1 9\r\nf 1 2 3 # x",
                    3, first, 1);
}
END_TEST

START_TEST(broken_obj_is_refused_with_the_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"v 0 0\n", "2 coordinates on line 1"},
        {"v 0 0 nan\n", "coordinate 'nan' on line 1 is not a number"},
        {"v 0 0 0\nv 1 1 1e39\n", "coordinate '1e39' on line 2 is too large"},
        {"v 0 0 0\nf 0 1 1\n", "vertex '0' on line 2 is out of range 1 to 1"},
        {"v 0 0 0\nf 1 1 2\n", "vertex '2' on line 2 is out of range 1 to 1"},
        {"v 0 0 0\nf 1 -2 1\nv 0 0 0\n", "vertex '-2' on line 2 is out of range -1 to -1"},
        {"v 0 0 0\nf 1 1 18446744073709551617/1\n", "vertex '18446744073709551617/1' on line 2"},
        {"v 0 0 0\nf 1 1 -18446744073709551617\n", "on line 2 is out of range"},
        {"v 0 0 0\nf 1 1 /1\n", "'/1' on line 2 is no vertex number"},
        {"v 0 0 0\nf 1 1 -\n", "'-' on line 2 is no vertex number"},
        {"v 0 0 0\nf 1 1 \\\n1 1\n", "'\\' on line 2 is no vertex number"},
        {"v 0 0 0\nf 1 1 1.0\n", "'1.0' on line 2 is no vertex number"},
        {"v 0 0 0\nf\n", "a face without corners on line 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuses(cases[i].text, cases[i].why);
}
END_TEST

/* ---- STL ---- */

#define FACET "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\n"

START_TEST(ascii_stl_may_hold_several_solids_in_any_case)
{
    static const uint32_t expected[] = {0, 1, 2, 3, 4, 5};
    reads_triangles("SOLID a\nFACET NORMAL 0 0 1\nOUTER LOOP\nVERTEX 0 0 0\nVERTEX 1 0 0\n"
                    "VERTEX 0 1 0\nENDLOOP\nENDFACET\nENDSOLID a\n\nsolid b #2\r\n" FACET
                    "endfacet\nendsolid b",
                    6, expected, 2);
}
END_TEST

START_TEST(broken_ascii_stl_is_refused_with_the_line)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"solid", "ends on line 1 before 'endsolid'"},
        {"solid x\n" FACET, "ends on line 7 before 'endsolid'"},
        {"solid x\n" FACET "endfacet\n", "ends on line 8 before 'endsolid'"},
        {"solid x\n" FACET "endsolid\n", "'endsolid' on line 8 is out of place"},
        {"solid x\nvertex 0 0 0\n", "'vertex' on line 2 is out of place"},
        {"solid x\nfacet\nouter loop\nvertex 0 0 0\nendloop\n",
         "a loop of 1 vertices ends on line 5"},
        {"solid x\nfacet\nouter loop\nvertex 0 0 0\nvertex 0 0 0\nvertex 0 0 0\nvertex 0 0 0\n"
         "endloop\n",
         "a loop of 4 vertices ends on line 8"},
        {"solid x\nfacet\nouter loop\nvertex 0 0\n", "2 coordinates on line 4"},
        {"solid x\nfacet\nouter loop\nvertex 0 0 inf\n", "'inf' on line 4 is not a number"},
        {"solid x\nfacet\nouter loop\nvertex 0 0 1e99\n", "'1e99' on line 4 is too large"},
        {"solid x\nendsolid\nfacet\n", "'facet' on line 3 is out of place"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuses(cases[i].text, cases[i].why);
}
END_TEST

START_TEST(binary_stl_with_a_wrong_count_or_no_number_is_refused)
{
    static const uint32_t counts[] = {0, 11, 13, 0x80000000, UINT32_MAX};
    struct buf file = {0};
    struct cnn_mesh mesh;
    struct err e;
    cube_stl_binary(&file);
    for (int i = 0; i < 5; i++) {
        memcpy(file.data + 80, &counts[i], 4);
        ck_assert(!parse(file.data, file.size, &mesh, &e));
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    }
    memcpy(file.data + 80, &(uint32_t){12}, 4);
    for (int i = 0; i < 3; i++) {
        const float bad[] = {NAN, INFINITY, -INFINITY};
        memcpy(file.data + 84 + 50 * 7 + 12 + 12 * i, &bad[i], 4);
        ck_assert(!parse(file.data, file.size, &mesh, &e));
        char expected[80];
        snprintf(expected, sizeof expected, "corner %d of triangle 7 is not a finite number", i);
        ck_assert_str_eq(e.detail, expected);
        memset(file.data + 84 + 50 * 7 + 12 + 12 * i, 0, 4);
    }
    ck_assert(parse(file.data, file.size, &mesh, &e));
    cnn_mesh_clear(&mesh);
    buf_clear(&file);
}
END_TEST

/* ---- limits ---- */

/* A polygon of more corners than triangles may be: few vertices, one long line. */
START_TEST(too_many_triangles_are_refused)
{
    enum { CORNERS = LIMIT_MESH_TRIANGLES + 3 };
    struct buf file = {0};
    struct cnn_mesh mesh;
    struct err e;
    buf_fmt(&file, "OFF 1 1 0\n0 0 0\n%d", CORNERS);
    ck_assert(buf_reserve(&file, 2 * (size_t)CORNERS));
    for (int i = 0; i < CORNERS; i++)
        buf_add(&file, " 0", 2);
    ck_assert(!mesh_parse(file.data, file.size, &mesh, &e));
    ck_assert_str_eq(e.detail, "more than 4194304 triangles");
    buf_clear(&file);
}
END_TEST

START_TEST(too_many_vertices_are_refused)
{
    struct buf file = {0};
    struct cnn_mesh mesh;
    struct err e;
    for (int i = 0; i <= LIMIT_MESH_VERTICES; i++)
        buf_add(&file, "v 0 0 0\n", 8);
    ck_assert(!mesh_parse(file.data, file.size, &mesh, &e));
    ck_assert_str_eq(e.detail, "more than 4194304 vertices");
    buf_clear(&file);
}
END_TEST

/* ---- real ones ---- */

static bool read_whole(const char *path, struct buf *out)
{
    char block[65536];
    FILE *file = fopen(path, "rb");
    size_t size = 0;
    while (file && (size = fread(block, 1, sizeof block, file)) > 0)
        buf_add(out, block, size);
    if (file)
        fclose(file);
    return file && buf_ok(out);
}

static void check_real(const char *path)
{
    static const struct cnn_shape shape = {.c = 1, .size = {24, 24, 24}, .rank = 3};
    struct cnn_voxelize how = cnn_voxelize_defaults();
    struct buf file = {0};
    struct cnn_mesh mesh;
    struct err e;
    static uint8_t grid[24 * 24 * 24];
    int count = 0;
    ck_assert(read_whole(path, &file));
    ck_assert_msg(mesh_parse(file.data, file.size, &mesh, &e), "%s: %s", path, e.detail);
    check_mesh(&mesh);
    ck_assert(cnn_voxels_from_mesh(&mesh, &how, &shape, grid, &e));
    for (size_t i = 0; i < sizeof grid; i++)
        count += grid[i];
    ck_assert_msg(count >= 100 && count <= 2048, "%s: %d voxels", path, count);
    cnn_mesh_clear(&mesh);
    buf_clear(&file);
}

START_TEST(the_meshes_of_modelnet_are_read)
{
    const char *archive = harness_shared_data("modelnet10-meshes.tar.xz");
    char folder[256], command[1024], path[1024];
    int count = 0;
    if (!archive)
        return;
    harness_tmpdir(folder, sizeof folder);
    snprintf(command, sizeof command, "tar -xJf %s -C %s && find %s -name '*.off'", archive, folder,
             folder);
    FILE *list = popen(command, "r");
    ck_assert_ptr_nonnull(list);
    while (fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = '\0';
        check_real(path);
        count++;
    }
    pclose(list);
    harness_rmdir(folder);
    ck_assert_int_eq(count, 106);
}
END_TEST

TEST_PROGRAM("proto_mesh", a_cube_in_every_format_gives_the_same_grid,
             truncated_at_every_byte_is_refused_or_a_smaller_mesh, flipped_bytes_never_crash,
             what_is_no_mesh_is_refused, off_is_read_as_found_in_the_wild, polygons_become_fans,
             numbers_are_read_as_programs_write_them, points_alone_are_a_mesh,
             broken_off_is_refused_with_the_line, obj_counts_from_one_and_backwards,
             broken_obj_is_refused_with_the_line, ascii_stl_may_hold_several_solids_in_any_case,
             broken_ascii_stl_is_refused_with_the_line,
             binary_stl_with_a_wrong_count_or_no_number_is_refused, too_many_triangles_are_refused,
             too_many_vertices_are_refused, the_meshes_of_modelnet_are_read)
