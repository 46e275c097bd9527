/* Files and documents made to do harm, sent to the real daemon: the right 4xx, in bounded memory,
 * with nothing left behind, and well afterwards. What each reader does with every truncation and
 * flipped byte is in its own test (test_proto_*). */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "harness.h"
#include "hostile.h"
#include "http_listen.h"
#include "json_suite.h"
#include "onnx.pb-c.h"

/* What the daemon may hold with nothing in flight, and small requests answered, in MiB. */
enum { SMALL_PEAK = 48 };

/* As `curl -T` sends it; frees the body. */
static struct reply post_bytes(const char *path, const char *type, struct buf *body)
{
    struct reply reply = send_type(&server, "POST", path, type, body->data, body->size);
    buf_clear(body);
    return reply;
}

static struct reply post_text(const char *path, const char *type, const char *text)
{
    return send_type(&server, "POST", path, type, text, strlen(text));
}

/* ---- pictures ---- */

static void expect_picture(struct buf *picture, int status, const char *detail, long peak_mib)
{
    struct reply reply = post_bytes("/predict?model=pick", "", picture);
    if (status == 200)
        reply_expect(reply, 200, "\"predictions\":[{", NULL);
    else
        expect_problem(reply, status, NULL, detail);
    hostile_check(peak_mib);
}

START_TEST(pictures_that_announce_too_much_are_refused_by_their_head)
{
    struct buf png = {0}, jpeg = {0};
    hostile_start();
    png_begin(&png, 100000, 100000, 16, 6, true);
    png_zeros(&png, "IDAT", "", 0, 1 << 20);
    expect_picture(&png, 422, "picture of 100000x100000 pixels", SMALL_PEAK);
    png_begin(&png, 0x7fffffff, 1, 1, 0, false);
    expect_picture(&png, 422, "", SMALL_PEAK);
    png_begin(&png, 0, 5, 8, 0, false);
    expect_picture(&png, 422, "", SMALL_PEAK);
    jpeg_of(&jpeg, 0);
    memset(jpeg_marker(&jpeg, 0xc2) + 5, 0xff, 4);
    expect_picture(&jpeg, 422, "", SMALL_PEAK);
    jpeg_of(&jpeg, 0);
    jpeg_marker(&jpeg, 0xc2)[4] = 12; /* bits */
    expect_picture(&jpeg, 422, "broken JPEG", SMALL_PEAK);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* Sizes that are allowed, of data that is not there. */
START_TEST(pictures_with_too_little_in_them_are_refused)
{
    struct buf png = {0}, jpeg = {0};
    hostile_start();
    png_begin(&png, 4000, 4000, 8, 2, false);
    png_zeros(&png, "IDAT", "", 0, 100);
    png_chunk(&png, "IEND", "", 0);
    expect_picture(&png, 422, "broken PNG", 48 + SMALL_PEAK);
    jpeg_of(&jpeg, 0);
    memcpy(jpeg_marker(&jpeg, 0xc2) + 5, "\x0f\xa0\x0f\xa0", 4);
    expect_picture(&jpeg, 422, "broken JPEG", 48 + SMALL_PEAK);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* 256 MiB each, in chunks that a viewer would show or use. */
START_TEST(chunks_that_inflate_to_anything_are_not_inflated)
{
    static const char *const names[] = {"zTXt", "iCCP", "iTXt"};
    static const char profile[] = "name\0", text[] = "name\0\1\0\0";
    hostile_start();
    for (int i = 0; i < 3; i++) {
        struct buf png = {0};
        png_begin(&png, 2, 2, 8, 0, false);
        png_zeros(&png, names[i], i == 2 ? text : profile, i == 2 ? 9 : 6, 256 << 20);
        png_zeros(&png, "IDAT", "", 0, 6);
        png_chunk(&png, "IEND", "", 0);
        expect_picture(&png, 200, NULL, SMALL_PEAK);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(the_largest_picture_costs_its_pixels_and_a_little)
{
    struct buf png = {0};
    hostile_start();
    png_begin(&png, 4096, 4096, 16, 6, true); /* 8 bytes a pixel in the file, 4 decoded */
    png_zeros(&png, "IDAT", "", 0, ((size_t)8 << 24) + 16384);
    png_chunk(&png, "IEND", "", 0);
    expect_picture(&png, 200, NULL, 64 + SMALL_PEAK);
    png_begin(&png, 16, 16, 8, 0, false); /* data without end for few pixels */
    png_zeros(&png, "IDAT", "", 0, 256 << 20);
    png_chunk(&png, "IEND", "", 0);
    struct reply reply = post_bytes("/predict?model=pick", "image/png", &png);
    ck_assert_msg(reply.status == 200 || reply.status == 422, "%d", reply.status);
    reply_clear(&reply);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* One such picture is read, 4096 of them in a body of 10 MB would take minutes. */
START_TEST(many_large_pictures_are_refused_together)
{
    struct buf png = {0}, body = {0};
    hostile_start();
    png_begin(&png, 4096, 4096, 1, 0, false);
    png_zeros(&png, "IDAT", "", 0, 513 * 4096);
    png_chunk(&png, "IEND", "", 0);
    for (int i = 0; i < 4000; i++) {
        buf_fmt(&body, "--b\r\nContent-Disposition: form-data; name=\"%d\"\r\n\r\n", i);
        buf_add(&body, png.data, png.size);
        buf_str(&body, "\r\n");
    }
    buf_str(&body, "--b--\r\n");
    buf_clear(&png);
    struct reply reply =
        post_bytes("/predict?model=pick", "multipart/form-data; boundary=b", &body);
    expect_problem(reply, 413, "parts[16]", "pictures of 285212672 pixels or more");
    hostile_stop(64 + SMALL_PEAK);
}
END_TEST

START_TEST(a_jpeg_of_a_thousand_scans_is_refused)
{
    struct buf jpeg = {0};
    hostile_start();
    jpeg_of(&jpeg, 0);
    expect_picture(&jpeg, 200, NULL, SMALL_PEAK);
    jpeg_of(&jpeg, 1000);
    expect_picture(&jpeg, 422, "broken JPEG", SMALL_PEAK);
    jpeg_of(&jpeg, 0);
    for (size_t size = 3; size < jpeg.size; size += 7) {
        struct buf cut = {0};
        buf_add(&cut, jpeg.data, size);
        expect_picture(&cut, 422, "broken JPEG", SMALL_PEAK);
    }
    buf_clear(&jpeg);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- meshes, points, voxels ---- */

START_TEST(meshes_that_lie_are_refused)
{
    static const char *const meshes[] = {
        "OFF",
        "OFF\n",
        "OFF 3 1",
        "OFF\n-1 -1 0\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n2147483648 0 1 2\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n2147483647 0 1 2\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 4294967296\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 nan 0\n3 0 1 2\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1e39 0\n3 0 1 2\n",
        "OFF\n4294967295 4294967295 0\n0 0 0\n",
        "OFF\n2147483648 1 0\n0 0 0\n",
        "OFF\n99999999999999999999999 1 0\n0 0 0\n",
        "OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        "OFF\n0 0 0\n",
        "solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n",
        "solid x\nendsolid x\n",
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n",
        "v 0 0 0\nf 0 1 1\n",
        "v 0 0 0\nf -2 -1 -1\n",
        "v 0 inf 0\n",
    };
    hostile_start();
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct reply reply = post_text("/predict?model=grid", "model/off", meshes[i]);
        ck_assert_msg(reply.status == 422, "%d for %s: %s", reply.status, meshes[i], reply.body);
        reply_clear(&reply);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* As large as floats go, flat, or all in one place: a grid, or a refusal. */
START_TEST(meshes_without_a_size_are_bounded)
{
    static const char *const meshes[] = {
        "OFF\n3 1 0\n-3e38 -3e38 -3e38\n3e38 3e38 3e38\n0 1 0\n3 0 1 2\n",
        "OFF\n3 1 0\n1e38 1e38 1e38\n-1e38 1e38 1e38\n0 1e-38 0\n3 0 1 2\n",
        "OFF\n3 1 0\n1e-40 0 0\n0 1e-40 0\n0 0 1e-44\n3 0 1 2\n",
        "OFF\n3 1 0\n5 5 5\n5 5 5\n5 5 5\n3 0 1 2\n",
        "OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n",
        "OFF\n1 0 0\n0 0 0\n",
    };
    hostile_start();
    for (size_t i = 0; i < sizeof meshes / sizeof meshes[0]; i++) {
        struct reply reply = post_text("/predict?model=grid", "model/off", meshes[i]);
        ck_assert_msg(reply.status == 422 || reply.status == 200, "%d for %s: %s", reply.status,
                      meshes[i], reply.body);
        reply_clear(&reply);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(a_binary_stl_whose_count_lies_is_refused)
{
    static const uint32_t counts[] = {0, 2, 0x7fffffff, 0xffffffff};
    hostile_start();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        char stl[84 + 50] = "x";
        memcpy(stl + 80, &counts[i], 4);
        expect_problem(
            send_type(&server, "POST", "/predict?model=grid", "model/stl", stl, sizeof stl), 422,
            NULL, "");
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(points_and_voxels_out_of_range_are_refused)
{
    static const char *const bodies[] = {
        "{\"points\":[[0,0,NaN]]}",
        "{\"points\":[[0,0,1e39]]}",
        "{\"points\":[[0,0]]}",
        "{\"points\":[]}",
        "{\"points\":[[[0,0,0],[1,1,1]],[[0,0,0]]]}",
        "{\"points\":7}",
        "{\"voxels\":{\"shape\":[65536,65536,65536],\"occupied\":[[0,0,0]]}}",
        "{\"voxels\":{\"shape\":[4,4,4],\"occupied\":[[4,0,0]]}}",
        "{\"voxels\":{\"shape\":[4,4,4],\"occupied\":[[0,0,-1]]}}",
        "{\"voxels\":{\"shape\":[4,4,4],\"occupied\":[[0,0,2147483648]]}}",
        "{\"voxels\":{\"shape\":[4,4,4],\"occupied\":[[0,0,0.5]]}}",
        "{\"voxels\":{\"shape\":[4,4,4],\"occupied\":0}}",
        "{\"voxels\":{\"shape\":[4,4,-4],\"occupied\":[[0,0,0]]}}",
        "{\"voxels\":{\"occupied\":[[0,0,0]],\"occupied\":[[0,0,0]]}}",
        "{\"inputs\":[{\"points\":[[0,0,0]]},1]}",
        "{\"mesh\":\"OFF\"}",
    };
    hostile_start();
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct reply reply = client_post(&server, "/predict?model=grid", bodies[i]);
        ck_assert_msg(reply.status == 400 || reply.status == 422, "%d for %s: %s", reply.status,
                      bodies[i], reply.body);
        reply_clear(&reply);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- infer requests ---- */

#define INFER(type, shape, rest) \
    "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"" type "\",\"shape\":" shape "," rest "}]}"

/* Shapes that ask for much with few bytes behind them. */
START_TEST(infer_requests_that_promise_more_than_there_is_are_refused)
{
    static const char *const bodies[] = {
        INFER("BOOL", "[268435456]", "\"data\":[true]"),
        INFER("BOOL", "[16384,16384]", "\"data\":[[true]]"),
        INFER("FP32", "[268435456]", "\"data\":[1]"),
        INFER("FP32", "[4294967296,4294967296,4294967296]", "\"data\":[1]"),
        INFER("FP32", "[0]", "\"data\":[1]"),
        INFER("FP32", "[1e300]", "\"data\":[1]"),
        INFER("INT64", "[268435456]", "\"parameters\":{\"binary_data_size\":2147483648}"),
        INFER("FP16", "[4]", "\"parameters\":{\"binary_data_size\":9223372036854775807}"),
        INFER("BYTES", "[268435456]", "\"data\":[\"\"]"),
        INFER("BYTES", "[1]", "\"data\":[\"http://127.0.0.1/\"]"),
        INFER("FP32", "[4]", "\"data\":{\"data\":[1,2,3,4]}"),
        INFER("FP32", "[4]", "\"data\":[1,2,[3,4]]"),
        INFER("FP32", "[4]", "\"data\":0"),
    };
    hostile_start();
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct reply reply = client_post(&server, "/v2/models/pick/infer", bodies[i]);
        ck_assert_msg(reply.status == 400 || reply.status == 413 || reply.status == 422,
                      "%d for %s: %s", reply.status, bodies[i], reply.body);
        ck_assert_msg(strstr(reply.body, "\"error\":\"") != NULL, "%s", reply.body);
        reply_clear(&reply);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- arrays ---- */

static void expect_npy(const char *dict, size_t dict_size, const char *detail)
{
    struct buf npy = {0};
    const uint8_t head[] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)dict_size, (uint8_t)(dict_size >> 8)};
    buf_add(&npy, head, sizeof head);
    buf_add(&npy, dict, strlen(dict));
    while (npy.size < sizeof head + 118)
        buf_str(&npy, " ");
    struct reply reply = post_bytes("/predict?model=pick", "application/x-npy", &npy);
    ck_assert_msg(reply.status == 422 || reply.status == 400, "%d: %s", reply.status, dict);
    expect_problem(reply, reply.status, NULL, detail);
}

START_TEST(npy_of_objects_or_of_any_size_is_refused)
{
    hostile_start();
    expect_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 118, "O");
    expect_npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 118, "");
    expect_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 2147483648), }", 118,
               "");
    expect_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 118, "");
    expect_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 118,
               "");
    expect_npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 118, "");
    expect_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 65535, "");
    expect_npy("__import__('os').system('touch /tmp/strided-evil')", 118, "");
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(idx_that_promises_more_than_there_is_is_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } files[] = {
        {"\0\0\x08\x03", 4},
        {"\0\0\x08\x03\0\0\0\2\0\0\0\2", 12},
        {"\0\0\x08\x03\0\0\0\2\0\0\0\2\0\0\0\2\1\2\3\4\5\6\7", 23},
        {"\0\0\x08\x03\x80\0\0\0\x80\0\0\0\x80\0\0\0", 16},
        {"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\1", 16},
        {"\0\0\x08\xff\0\0\0\1", 8},
        {"\0\0\x0d\x03\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\0", 20},
        {"\x1f\x8b\x08\0\0\0\0\0\0\3", 10},
    };
    static const char label[] = "\0\0\x08\1\0\0\0\2\0\1";
    hostile_start();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buf body = {0};
        buf_str(&body, "--b\r\nContent-Disposition: form-data; name=\"train_images\"\r\n\r\n");
        buf_add(&body, files[i].bytes, files[i].size);
        buf_str(&body, "\r\n--b\r\nContent-Disposition: form-data; name=\"train_labels\"\r\n\r\n");
        buf_add(&body, label, sizeof label - 1);
        buf_str(&body, "\r\n--b--\r\n");
        struct reply reply = send_type(&server, "PUT", "/datasets/d",
                                       "multipart/form-data; boundary=b", body.data, body.size);
        ck_assert_msg(reply.status == 422 || reply.status == 400, "%zu: %d", i, reply.status);
        expect_problem(reply, reply.status, "train_images", "");
        buf_clear(&body);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- archives ---- */

/* Names are labels at most; what is no plain file is named and left out. */
START_TEST(nothing_in_an_archive_is_a_path)
{
    struct buf tar = {0}, evil = {0}, inner = {0};
    char path[400];
    hostile_start();
    tar_png(&tar, "cat/1.png", 2, 2, 1, 1);
    tar_png(&tar, "dog/1.png", 2, 2, 1, 2);
    png_of(&evil, 2, 2, 1, 3);
    tar_bytes(&tar, "../evil.png", &evil);
    tar_bytes(&tar, "../../evil/../evil.png", &evil);
    snprintf(path, sizeof path, "%s/evil.png", server.folder);
    if (strlen(path) < 100)
        tar_bytes(&tar, path, &evil);
    tar_bytes(&tar, "cat/..", &evil);
    tar_add(&tar, "cat/link.png", '2', "/etc/passwd", "", 0);
    tar_add(&tar, "cat/hard.png", '1', "../../../etc/passwd", "", 0);
    tar_add(&tar, "cat/dev.png", '3', "", "", 0);
    tar_add(&tar, "cat/block.png", '4', "", "", 0);
    tar_add(&tar, "cat/fifo.png", '6', "", "", 0);
    buf_add(&inner, tar.data, tar.size);
    tar_bytes(&tar, "cat/inner.tar", &inner);
    buf_clear(&inner);
    buf_clear(&evil);
    struct reply reply = put_tar("/datasets/d", &tar);
    ck_assert_msg(reply.status == 201 || reply.status == 422, "%d: %s", reply.status, reply.body);
    ck_assert_ptr_null(strstr(reply.body, "root:"));
    reply_clear(&reply);
    ck_assert_int_ne(access(path, F_OK), 0);
    snprintf(path, sizeof path, "find '%s' -name '*evil*' -o -type l -o -type p | grep -q .",
             server.folder);
    ck_assert_int_ne(system(path), 0);
    struct reply gone = client_send(&server, "DELETE", "/datasets/d", NULL, NULL, 0);
    reply_clear(&gone);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* Each is named, and the two good pictures are a dataset. */
START_TEST(hostile_files_in_an_archive_are_left_out)
{
    struct buf tar = {0}, file = {0};
    hostile_start();
    tar_png(&tar, "cat/good.png", 2, 2, 1, 1);
    tar_png(&tar, "dog/good.png", 2, 2, 1, 2);
    png_begin(&file, 100000, 100000, 16, 6, true);
    tar_bytes(&tar, "cat/huge.png", &file);
    file.size = 0;
    png_begin(&file, 2, 2, 8, 0, false);
    png_zeros(&file, "IDAT", "", 0, 3);
    tar_bytes(&tar, "cat/short.png", &file);
    file.size = 0;
    jpeg_of(&file, 1000);
    tar_bytes(&tar, "dog/scans.jpg", &file);
    tar_file(&tar, "dog/text.png", "no picture");
    struct reply reply = put_tar("/datasets/d", &tar);
    reply_expect(reply, 201, "cat/huge.png", "cat/short.png", "dog/scans.jpg", "dog/text.png",
                 NULL);
    reply_expect(client_get(&server, "/datasets/d/samples?split=train"), 200, "\"total\":2", NULL);
    reply = client_send(&server, "DELETE", "/datasets/d", NULL, NULL, 0);
    reply_clear(&reply);
    buf_clear(&file);
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(hostile_samples_leave_a_dataset_as_it_is)
{
    static const struct {
        const char *type, *body;
        size_t size;
    } bodies[] = {
        {"image/png", "\x89PNG\r\n\x1a\n", 8},
        {"image/jpeg", "\xff\xd8\xff\xe0\0\x10", 6},
        {"application/json", "{\"inputs\":[[1,2],[3,1e39]]}", 26},
        {"application/json", "{\"inputs\":[[1,2],[3]]}", 22},
        {"application/json", "{\"image\":\"file:///etc/passwd\"}", 31},
        {"application/x-npy", "\x93NUMPY\1\0\xff\xff", 10},
        {"application/octet-stream", "abc", 3},
        {"multipart/form-data; boundary=b", "--b\r\n", 5},
        {"model/off", "OFF\n3 1 0\n", 10},
    };
    struct buf tar = {0};
    hostile_start();
    tar_png(&tar, "cat/1.png", 2, 2, 1, 1);
    tar_png(&tar, "dog/1.png", 2, 2, 1, 2);
    reply_expect(put_tar("/datasets/d", &tar), 201, NULL);
    int files = stored_files();
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct reply reply = send_type(&server, "POST", "/datasets/d/samples?label=cat",
                                       bodies[i].type, bodies[i].body, bodies[i].size);
        ck_assert_msg(reply.status == 400 || reply.status == 422, "%s: %d %s", bodies[i].type,
                      reply.status, reply.body);
        reply_clear(&reply);
    }
    ck_assert_int_eq(stored_files(), files);
    reply_expect(client_get(&server, "/datasets/d"), 200, "\"versions\":[1]", NULL);
    struct reply reply = client_send(&server, "DELETE", "/datasets/d", NULL, NULL, 0);
    reply_clear(&reply);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* 300 MB of headers in 1 MB of gzip. */
START_TEST(a_million_tiny_entries_are_refused)
{
    enum { ENTRIES = 600000, PIECE = 1000 };
    struct buf piece = {0}, body = {0};
    hostile_start();
    for (int i = 0; i < PIECE; i++)
        tar_add(&piece, "a/1", '0', "", "", 0);
    uLongf size = compressBound(piece.size) + 64;
    uint8_t *member = malloc(size);
    z_stream z = {.next_in = (uint8_t *)piece.data, .avail_in = (uInt)piece.size};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = member;
    z.avail_out = (uInt)size;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    for (int i = 0; i < ENTRIES / PIECE; i++)
        buf_add(&body, member, z.total_out);
    free(member);
    buf_clear(&piece);
    struct reply reply = put_bytes("/datasets/d", &body);
    ck_assert_msg(reply.status == 413 || reply.status == 422, "%d: %s", reply.status, reply.body);
    reply_clear(&reply);
    hostile_stop(2 * SMALL_PEAK);
}
END_TEST

/* ---- models ---- */

static void expect_no_model(const void *bytes, size_t size)
{
    struct reply reply = client_send(&server, "PUT", "/models/evil", NULL, bytes, size);
    ck_assert_msg(reply.status == 422, "%d: %s", reply.status, reply.body);
    ck_assert_ptr_null(strstr(reply.body, "root:"));
    reply_expect_problem(&reply, 422, "");
}

/* The weights stand in another file, as exporters of large models write them. */
static void point_elsewhere(struct buf *out, const struct reply *model, char *key, char *value)
{
    Onnx__ModelProto *proto =
        onnx__model_proto__unpack(NULL, model->size, (const uint8_t *)model->body);
    ck_assert_ptr_nonnull(proto);
    Onnx__TensorProto *tensor = proto->graph->initializer[0];
    Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT,
                                 *entries[] = {&entry};
    entry.key = key;
    entry.value = value;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->external_data = entries;
    tensor->n_external_data = 1;
    ck_assert(buf_reserve(out, onnx__model_proto__get_packed_size(proto)));
    out->size = onnx__model_proto__pack(proto, (uint8_t *)out->data);
    tensor->external_data = NULL;
    tensor->n_external_data = 0;
    onnx__model_proto__free_unpacked(proto, NULL);
}

START_TEST(models_cut_short_or_with_weights_elsewhere_are_refused)
{
    static char key[] = "location", place[] = "/etc/passwd";
    struct buf elsewhere = {0};
    hostile_start();
    struct reply model = client_get(&server, "/models/pick/onnx");
    ck_assert_int_eq(model.status, 200);
    for (size_t size = 1; size < model.size; size += 13)
        expect_no_model(model.body, size);
    point_elsewhere(&elsewhere, &model, key, place);
    expect_no_model(elsewhere.data, elsewhere.size);
    expect_problem(client_get(&server, "/models/evil"), 404, NULL, "");
    buf_clear(&elsewhere);
    reply_clear(&model);
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- documents ---- */

START_TEST(json_is_taken_and_refused_by_the_rfc)
{
    hostile_start();
    for (size_t i = 0; i < JSON_SUITE_COUNT; i++) {
        const struct json_case *c = &json_suite[i];
        struct reply reply = send_type(&server, "POST", "/jobs", "application/json",
                                       c->size ? c->text : "", c->size);
        ck_assert_msg(reply.status == 400, "%s: %d %s", c->name, reply.status, reply.body);
        /* Read, but no job: an object of unknown or missing fields, or none at all. */
        bool read = strstr(reply.body, "unknown field") || strstr(reply.body, "missing '") ||
                    strstr(reply.body, "expected an object");
        ck_assert_msg(read == c->taken, "%s: %s", c->name, reply.body);
        reply_clear(&reply);
    }
    hostile_stop(SMALL_PEAK);
}
END_TEST

static void add_repeated(struct buf *out, const char *piece, int count)
{
    for (int i = 0; i < count; i++)
        buf_str(out, piece);
}

START_TEST(documents_of_any_depth_and_length_are_bounded)
{
    static const char *const paths[] = {"/predict?model=pick", "/jobs", "/summary"};
    hostile_start();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct buf body = {0};
        add_repeated(&body, "[", 250000);
        expect_problem(post_bytes(paths[i], "application/json", &body), 400, NULL,
                       "nested deeper than");
        buf_str(&body, "{\"inputs\":");
        add_repeated(&body, "[", 250000);
        expect_problem(post_bytes(paths[i], "application/json", &body), 400, NULL,
                       "nested deeper than");
        buf_str(&body, "{\"a\":0");
        add_repeated(&body, ",\"a\":0", 150000);
        buf_str(&body, "}");
        expect_problem(post_bytes(paths[i], "application/json", &body), 400, NULL, "");
        buf_str(&body, "{\"");
        add_repeated(&body, "name", 250000);
        buf_str(&body, "\":1}");
        expect_problem(post_bytes(paths[i], "application/json", &body), 400, NULL, "namename");
        buf_str(&body, "{\"inputs\":[0.");
        add_repeated(&body, "1234567890", 100000);
        buf_str(&body, "x]}");
        expect_problem(post_bytes(paths[i], "application/json", &body), 400, NULL, "");
    }
    struct buf body = {0};
    buf_str(&body, "{\"a\":0");
    add_repeated(&body, ",\"a\":0", 1000000);
    buf_str(&body, "}");
    expect_problem(post_bytes("/predict?model=pick", "", &body), 400, NULL,
                   "more than 262144 values");
    hostile_stop(2 * SMALL_PEAK);
}
END_TEST

/* 40 MB of text: no tree, no copy. */
START_TEST(numbers_past_the_limits_are_refused_without_a_tree)
{
    struct buf body = {0};
    hostile_start();
    buf_str(&body, "{\"inputs\":[0");
    add_repeated(&body, ",0", 20000000);
    buf_str(&body, "]}");
    expect_problem(post_bytes("/predict?model=pick", "application/json", &body), 413, "inputs",
                   "more than 16384 numbers in inputs");
    hostile_check(SMALL_PEAK);
    buf_str(&body, "{\"points\":[[0,0,0]");
    add_repeated(&body, ",[0,0,0]", 7000000);
    buf_str(&body, "]}");
    expect_problem(post_bytes("/predict?model=pick", "application/json", &body), 400, "points",
                   "points do not fit the input");
    hostile_check(128 + SMALL_PEAK); /* 21 million floats */
    buf_str(&body, "{\"inputs\":[[0]");
    add_repeated(&body, ",[0,0]", 1000000);
    buf_str(&body, "]}");
    expect_problem(post_bytes("/predict?model=pick", "application/json", &body), 400, "inputs[1]",
                   "ragged");
    hostile_stop(SMALL_PEAK);
}
END_TEST

/* ---- compressed and encoded bodies ---- */

START_TEST(bodies_that_unfold_past_their_limit_are_refused)
{
    static const char gzip[] = "Content-Encoding: gzip";
    struct buf body = {0};
    hostile_start();
    add_zeros_compressed(&body, "", 0, 300 << 20); /* zlib's own format is taken, too */
    ck_assert_uint_lt(body.size, 400 << 10);
    const char *const headers[] = {gzip, NULL};
    struct reply reply =
        client_send(&server, "POST", "/predict?model=pick", headers, body.data, body.size);
    reply_expect_problem(&reply, 413, "67108864 bytes");
    hostile_check(64 + SMALL_PEAK);
    reply = client_send(&server, "POST", "/jobs", headers, body.data, body.size);
    reply_expect_problem(&reply, 413, "1048576 bytes");
    buf_clear(&body);
    hostile_stop(SMALL_PEAK);
}
END_TEST

START_TEST(floods_of_base64_are_refused)
{
    static const char *const floods[] = {" ", "\\n", "====", "AAAA", "\\u0041"};
    hostile_start();
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        struct buf body = {0};
        buf_str(&body, "{\"image\":\"");
        add_repeated(&body, floods[i], 2000000);
        buf_str(&body, "\"}");
        struct reply reply = post_bytes("/predict?model=pick", "application/json", &body);
        ck_assert_msg(reply.status == 400 || reply.status == 422, "%d", reply.status);
        reply_clear(&reply);
    }
    hostile_stop(64 + SMALL_PEAK);
}
END_TEST

/* ---- names of other places ---- */

/* Fails the test when somebody connects. */
static void expect_no_visitor(int listener)
{
    struct pollfd visitor = {.fd = listener, .events = POLLIN};
    ck_assert_int_eq(poll(&visitor, 1, 0), 0);
}

static int listen_somewhere(char *url, size_t size)
{
    struct err e;
    int port, fd = http_listen("127.0.0.1:0", &port, &e);
    ck_assert_msg(fd >= 0, "%s", e.detail);
    snprintf(url, size, "http://127.0.0.1:%d/x.png", port);
    return fd;
}

START_TEST(no_url_is_ever_fetched_and_no_file_read)
{
    static const char *const forms[] = {
        "{\"image\":\"%s\"}",
        "{\"images\":[\"%s\"]}",
        "{\"mesh\":\"%s\"}",
        "{\"mesh\":\"mtllib %s\\nv 0 0 0\\nusemtl %s\"}",
        "{\"inputs\":\"%s\"}",
        "{\"url\":\"%s\"}",
        "{\"image\":{\"url\":\"%s\"}}",
        "{\"image\":\"data:%s;base64,\"}",
        "\"%s\"",
    };
    char urls[3][64] = {"", "file:///etc/passwd", "/etc/passwd"};
    hostile_start();
    int listener = listen_somewhere(urls[0], sizeof urls[0]);
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        for (int u = 0; u < 3; u++) {
            char body[256];
            const char *form = forms[f]; /* checked: of the table above */
            size_t used = 0;
            for (; *form && used + 80 < sizeof body; form++) {
                if (form[0] == '%') {
                    used += (size_t)snprintf(body + used, sizeof body - used, "%s", urls[u]);
                    form++;
                } else {
                    body[used++] = *form;
                }
            }
            body[used] = '\0';
            struct reply reply = client_post(&server, "/predict?model=grid", body);
            ck_assert_msg(reply.status == 400 || reply.status == 422 || reply.status == 200,
                          "%d for %s", reply.status, body);
            ck_assert_ptr_null(strstr(reply.body, "root:"));
            reply_clear(&reply);
        }
    }
    expect_no_visitor(listener);
    close(listener);
    hostile_stop(SMALL_PEAK);
}
END_TEST

TEST_PROGRAM("server hostile", pictures_that_announce_too_much_are_refused_by_their_head,
             pictures_with_too_little_in_them_are_refused,
             chunks_that_inflate_to_anything_are_not_inflated,
             the_largest_picture_costs_its_pixels_and_a_little,
             many_large_pictures_are_refused_together, a_jpeg_of_a_thousand_scans_is_refused,
             meshes_that_lie_are_refused, meshes_without_a_size_are_bounded,
             a_binary_stl_whose_count_lies_is_refused, points_and_voxels_out_of_range_are_refused,
             infer_requests_that_promise_more_than_there_is_are_refused,
             npy_of_objects_or_of_any_size_is_refused,
             idx_that_promises_more_than_there_is_is_refused, nothing_in_an_archive_is_a_path,
             hostile_files_in_an_archive_are_left_out, hostile_samples_leave_a_dataset_as_it_is,
             a_million_tiny_entries_are_refused,
             models_cut_short_or_with_weights_elsewhere_are_refused,
             json_is_taken_and_refused_by_the_rfc, documents_of_any_depth_and_length_are_bounded,
             numbers_past_the_limits_are_refused_without_a_tree,
             bodies_that_unfold_past_their_limit_are_refused, floods_of_base64_are_refused,
             no_url_is_ever_fetched_and_no_file_read)
