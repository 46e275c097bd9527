/* Datasets from archives through the real daemon: layouts, pictures, meshes, arrays, splits, what
 * is left out, what is refused. */
#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>
#include <zlib.h>

#include "dataset_client.h"

static const char cube[] = "OFF\n8 6 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n1 0 1\n1 1 1\n0 1 1\n"
                           "4 0 1 2 3\n4 4 5 6 7\n4 0 1 5 4\n4 1 2 6 5\n4 2 3 7 6\n4 3 0 4 7\n";

/* Two classes of `each` pictures: cats 10, 11, ..., dogs 200, 201, ... */
static void add_pets(struct buf *tar, const char *folder, int each)
{
    char path[100];
    for (int i = 0; i < each; i++) {
        snprintf(path, sizeof path, "%scat/%d.png", folder, i);
        tar_png(tar, path, 4, 4, 1, (uint8_t)(10 + i));
        snprintf(path, sizeof path, "%sdog/%d.png", folder, i);
        tar_png(tar, path, 4, 4, 1, (uint8_t)(200 + i));
    }
}

static const uint8_t *stored_sample(const struct dataset *dataset, enum dataset_split split,
                                    uint32_t i)
{
    return (const uint8_t *)dataset->samples[split].x + i * cnn_shape_count(&dataset->info.shape);
}

/* ---- layouts and containers ---- */

START_TEST(classes_are_folders_and_the_split_is_drawn_from_each)
{
    struct buf tar = {0};
    struct dataset dataset;
    daemon_start(&server, NULL);
    add_pets(&tar, "", 10);
    reply_expect(put_tar("/datasets/pets", &tar), 201, "\"input\":[1,4,4]", "\"dtype\":\"uint8\"",
                 "\"classes\":[{\"label\":\"cat\",\"train\":8,\"test\":2},"
                 "{\"label\":\"dog\",\"train\":8,\"test\":2}]",
                 "\"source\":\"archive of pictures\"", "\"skipped\":[],\"skipped_total\":0}", NULL);
    open_stored(&dataset, "pets", 1);
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (uint32_t i = 0; i < dataset.samples[split].count; i++) {
            uint8_t value = stored_sample(&dataset, (enum dataset_split)split, i)[0];
            ck_assert_int_eq(dataset.samples[split].labels[i], value >= 200);
        }
    ck_assert_float_eq(dataset.info.preprocess.normalize.scale, 1.0f / 255);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

/* First pixels of the test split, sorted by their places in it. */
static void test_pixels(int version, uint8_t *pixels, uint32_t count)
{
    struct dataset dataset;
    open_stored(&dataset, "pets", version);
    ck_assert_uint_eq(dataset.samples[SPLIT_TEST].count, count);
    for (uint32_t i = 0; i < count; i++)
        pixels[i] = stored_sample(&dataset, SPLIT_TEST, i)[0];
    dataset_close(&dataset);
}

START_TEST(the_split_depends_on_seed_and_paths_alone)
{
    static const char *const paths[] = {"/datasets/pets", "/datasets/pets?seed=1",
                                        "/datasets/pets?test_split=0.5",
                                        "/datasets/pets?test_split=0"};
    uint8_t first[6], again[6], other[6];
    struct buf tar = {0};
    daemon_start(&server, NULL);
    for (int i = 0; i < 4; i++) {
        add_pets(&tar, "", 15);
        if (i == 1) { /* the same seed again, and one file more that cannot be read */
            tar_file(&tar, "cat/a.png", "no picture");
            reply_expect(put_tar(paths[0], &tar), 201, "\"skipped_total\":1", NULL);
            add_pets(&tar, "", 15);
        }
        reply_expect(put_tar(paths[i], &tar), 201,
                     i == 2   ? "\"train\":14,\"test\":16"
                     : i == 3 ? "\"train\":30,\"test\":0"
                              : "\"train\":24,\"test\":6",
                     NULL);
    }
    test_pixels(1, first, 6);
    test_pixels(2, again, 6);
    test_pixels(3, other, 6);
    ck_assert_mem_eq(first, again, 6);
    ck_assert_mem_ne(first, other, 6);
    daemon_stop(&server);
}
END_TEST

START_TEST(splits_of_the_archive_are_kept)
{
    static const char *const layouts[][2] = {{"train/cat/", "test/cat/"},
                                             {"cat/train/", "cat/test/"},
                                             {"all/Train/cat/", "all/TEST/cat/"}};
    daemon_start(&server, NULL);
    for (int i = 0; i < 3; i++) {
        char path[64];
        struct buf tar = {0};
        for (int n = 0; n < 5; n++) {
            snprintf(path, sizeof path, "%s%d.png", layouts[i][n > 2], n);
            tar_png(&tar, path, 3, 2, 1, 9);
        }
        reply_expect(put_tar("/datasets/d", &tar), 201, "\"input\":[1,2,3]",
                     "\"classes\":[{\"label\":\"cat\",\"train\":3,\"test\":2}]", NULL);
    }
    daemon_stop(&server);
}
END_TEST

static void zip_of(struct buf *out, const struct buf *png)
{
    static char room[1 << 16];
    size_t used;
    struct archive *zip = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    archive_write_set_format_zip(zip);
    ck_assert_int_eq(archive_write_open_memory(zip, room, sizeof room, &used), ARCHIVE_OK);
    for (int i = 0; i < 4; i++) {
        char path[32];
        snprintf(path, sizeof path, "%s/%d.png", i % 2 ? "a" : "b", i);
        archive_entry_clear(entry);
        archive_entry_set_pathname(entry, path);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (int64_t)png->size);
        ck_assert_int_eq(archive_write_header(zip, entry), ARCHIVE_OK);
        archive_write_data(zip, png->data, png->size);
    }
    archive_write_close(zip);
    buf_add(out, room, used);
    archive_entry_free(entry);
    archive_write_free(zip);
}

static void gzip_of(struct buf *out, const struct buf *bytes)
{
    z_stream z = {0};
    size_t room = bytes->size + 1000;
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert(buf_reserve(out, room));
    z.next_in = (Bytef *)bytes->data;
    z.avail_in = (uInt)bytes->size;
    z.next_out = (Bytef *)out->data;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size = z.total_out;
    deflateEnd(&z);
}

START_TEST(tar_gzip_and_zip_are_known_by_their_bytes_whatever_type_is_sent)
{
    static const char *const types[] = {"application/x-www-form-urlencoded",
                                        "application/octet-stream", "application/zip"};
    struct buf bodies[3] = {{0}}, png = {0};
    daemon_start(&server, NULL);
    add_pets(&bodies[0], "", 2);
    tar_end(&bodies[0]);
    gzip_of(&bodies[1], &bodies[0]);
    png_of(&png, 4, 4, 1, 7);
    zip_of(&bodies[2], &png);
    for (int body = 0; body < 3; body++)
        for (int type = 0; type < 3; type++)
            reply_expect(send_type(&server, "PUT", "/datasets/d", types[type], bodies[body].data,
                                   bodies[body].size),
                         201, "\"input\":[1,4,4]", "\"train\":4,\"test\":0", NULL);
    for (int body = 0; body < 3; body++)
        buf_clear(&bodies[body]);
    buf_clear(&png);
    daemon_stop(&server);
}
END_TEST

/* ---- pictures ---- */

START_TEST(pictures_are_brought_to_one_size_and_depth)
{
    static const struct {
        const char *query, *input;
    } cases[] = {{"", "\"input\":[3,6,5]"},
                 {"?size=8", "\"input\":[3,8,8]"},
                 {"?size=7x9&channels=1", "\"input\":[1,9,7]"}};
    daemon_start(&server, NULL);
    for (int i = 0; i < 3; i++) {
        char path[64];
        struct buf tar = {0};
        tar_png(&tar, "a/1.png", 5, 6, 1, 50);
        tar_png(&tar, "a/2.png", 5, 6, 3, 50);
        tar_png(&tar, "b/1.png", 40, 3, 1, 50);
        snprintf(path, sizeof path, "/datasets/d%s", cases[i].query);
        reply_expect(put_tar(path, &tar), 201, cases[i].input, NULL);
    }
    struct dataset dataset;
    open_stored(&dataset, "d", 1);
    ck_assert_uint_eq(dataset.samples[SPLIT_TRAIN].count, 3);
    ck_assert_uint_eq(stored_sample(&dataset, SPLIT_TRAIN, 0)[30], 50); /* grey in all channels */
    ck_assert_uint_eq(stored_sample(&dataset, SPLIT_TRAIN, 1)[0], 50);
    ck_assert_uint_eq(stored_sample(&dataset, SPLIT_TRAIN, 1)[30], 0);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(large_pictures_are_made_smaller_unless_asked)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    tar_png(&tar, "a/1.png", 1024, 512, 1, 50);
    reply_expect(put_tar("/datasets/d", &tar), 201, "\"input\":[1,128,256]", NULL);
    tar_png(&tar, "a/1.png", 1024, 512, 1, 50);
    reply_expect(put_tar("/datasets/d?size=1024x512", &tar), 201, "\"input\":[1,512,1024]", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(preprocessing_is_measured_stored_and_shown)
{
    struct buf tar = {0};
    struct dataset dataset;
    daemon_start(&server, NULL);
    tar_png(&tar, "a/1.png", 2, 2, 3, 0);
    tar_png(&tar, "b/1.png", 2, 2, 3, 255);
    reply_expect(put_tar("/datasets/d?normalize=true&test_split=0", &tar), 201,
                 "\"mean\":[0.5,0,0],\"std\":[0.5,1,1],\"background\":\"dark\"}", NULL);
    open_stored(&dataset, "d", 1);
    float x[24];
    cnn_samples_gather(&dataset.samples[SPLIT_TRAIN], NULL, 0, 2, x);
    ck_assert_float_eq(x[0], -1); /* channels last */
    ck_assert_float_eq(x[1], 0);
    ck_assert_float_eq(x[12], 1);
    dataset_close(&dataset);

    tar_png(&tar, "a/1.png", 2, 2, 1, 200);
    tar_png(&tar, "b/1.png", 2, 2, 1, 255);
    reply_expect(put_tar("/datasets/d?invert=true&scale=0.5", &tar), 201, "\"scale\":0.5",
                 "\"background\":\"dark\",\"invert\":true}", NULL);
    open_stored(&dataset, "d", 2);
    ck_assert(dataset.info.preprocess.invert);
    ck_assert_uint_eq(stored_sample(&dataset, SPLIT_TRAIN, 0)[0], 55);
    ck_assert_uint_eq(stored_sample(&dataset, SPLIT_TRAIN, 1)[0], 0);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(preprocessing_travels_into_the_model)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 10);
    reply_expect(put_tar("/datasets/d?normalize=true&size=28", &tar), 201, NULL);
    reply_expect(client_post(&server, "/jobs",
                             "{\"model\":\"m\",\"dataset\":\"d\",\"architecture\":\"shapes-tiny\","
                             "\"epochs\":1}"),
                 202, NULL);
    struct reply reply;
    for (int i = 0; i < 500; i++) {
        reply = client_get(&server, "/models/m");
        if (reply.status == 200)
            break;
        reply_clear(&reply);
        usleep(20000);
    }
    ck_assert_int_eq(reply.status, 200);
    reply_clear(&reply);
    reply = client_get(&server, "/models/m/onnx");
    ck_assert_int_eq(reply.status, 200);
    ck_assert_ptr_nonnull(memmem(reply.body, reply.size, "\"mean\":[", 8));
    ck_assert_ptr_nonnull(memmem(reply.body, reply.size, "\"std\":[", 7));
    reply_clear(&reply);
    daemon_stop(&server);
}
END_TEST

/* ---- meshes and arrays ---- */

START_TEST(meshes_become_grids)
{
    struct buf tar = {0};
    struct dataset dataset;
    daemon_start(&server, NULL);
    tar_file(&tar, "ModelNet10/box/train/1.off", cube);
    tar_file(&tar, "ModelNet10/box/test/2.off", cube);
    reply_expect(put_tar("/datasets/d?grid=8", &tar), 201, "\"input\":[1,8,8,8]", "\"scale\":1,",
                 "\"voxelize\":{\"fit\":\"stretch\",\"axes\":\"xyz\",\"solid\":false,"
                 "\"points\":2048,\"seed\":0}",
                 "\"train\":1,\"test\":1", NULL);
    open_stored(&dataset, "d", 1);
    const uint8_t *grid = stored_sample(&dataset, SPLIT_TRAIN, 0);
    int occupied = 0;
    for (int i = 0; i < 512; i++) {
        ck_assert_uint_le(grid[i], 1);
        int x = i / 64, y = i / 8 % 8, z = i % 8;
        bool inside = x > 0 && x < 7 && y > 0 && y < 7 && z > 0 && z < 7;
        ck_assert(!inside || !grid[i]);
        occupied += grid[i];
    }
    ck_assert_int_ge(occupied, 280); /* of the 296 on the surface */
    ck_assert_mem_eq(grid, stored_sample(&dataset, SPLIT_TEST, 0), 512);
    dataset_close(&dataset);
    tar_file(&tar, "box/1.off", cube);
    reply_expect(put_tar("/datasets/d?aspect=keep&points=100&seed=7&axes=yxz", &tar), 201,
                 "\"input\":[1,24,24,24]",
                 "{\"fit\":\"aspect\",\"axes\":\"yxz\",\"solid\":false,\"points\":100,\"seed\":7}",
                 NULL);
    open_stored(&dataset, "d", 2);
    const struct cnn_voxelize *voxelize = &dataset.info.preprocess.voxelize;
    ck_assert_int_eq(voxelize->fit, CNN_VOXEL_ASPECT);
    ck_assert_uint_eq(voxelize->samples, 100);
    ck_assert_uint_eq(voxelize->seed, 7);
    ck_assert_mem_eq(voxelize->axes, "\1\0\2", 3);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

START_TEST(arrays_of_one_shape_are_samples)
{
    const float values[6] = {1, 2, 3, 4, 5, 6.5f};
    const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    struct buf tar = {0}, npy = {0};
    struct dataset dataset;
    daemon_start(&server, NULL);
    npy_of(&npy, NPY_F32, 2, (const size_t[]){2, 3}, values);
    tar_bytes(&tar, "a/1.npy", &npy);
    buf_clear(&npy);
    npy_of(&npy, NPY_U8, 2, (const size_t[]){2, 3}, bytes);
    tar_bytes(&tar, "b/1.npy", &npy);
    buf_clear(&npy);
    npy_of(&npy, NPY_U8, 2, (const size_t[]){3, 2}, bytes);
    tar_bytes(&tar, "b/2.npy", &npy);
    reply_expect(put_tar("/datasets/d", &tar), 201, "\"input\":[1,2,3]", "\"dtype\":\"float32\"",
                 "{\"file\":\"b/2.npy\",\"reason\":\"array of shape [1,3,2] among those of [1,2,3]",
                 NULL);
    buf_clear(&npy);
    open_stored(&dataset, "d", 1);
    ck_assert_mem_eq(dataset.samples[SPLIT_TRAIN].x, values, sizeof values);
    ck_assert_float_eq(((const float *)dataset.samples[SPLIT_TRAIN].x)[11], 6);
    dataset_close(&dataset);
    daemon_stop(&server);
}
END_TEST

/* ---- what is left out ---- */

START_TEST(files_that_cannot_be_read_are_named_and_the_rest_goes_in)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 2);
    tar_file(&tar, "dog/notes.txt", "hello");
    tar_file(&tar, "dog/broken.png", "\x89PNG\r\n\x1a\nxx");
    tar_file(&tar, "../../etc/cat.png", "x");
    tar_add(&tar, "cat/link.png", '2', "/etc/passwd", NULL, 0);
    tar_add(&tar, "cat/null.png", '3', "", NULL, 0);
    tar_file(&tar, "cat/.DS_Store", "left behind");
    reply_expect(put_tar("/datasets/d", &tar), 201, "\"train\":4", "{\"file\":\"dog/notes.txt\"",
                 "{\"file\":\"dog/broken.png\",\"reason\":\"broken PNG: truncated\"}",
                 "{\"file\":\"../../etc/cat.png\"", "{\"file\":\"cat/link.png\"",
                 "{\"file\":\"cat/null.png\"", "\"skipped_total\":5}", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(strict_takes_all_or_nothing)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 2);
    tar_file(&tar, "dog/broken.png", "no picture");
    expect_problem(put_tar("/datasets/d?strict=true", &tar), 422, NULL, "'dog/broken.png': ");
    expect_problem(client_get(&server, "/datasets/d"), 404, NULL, "no dataset 'd'");
    ck_assert_int_eq(stored_files(), 0);
    add_pets(&tar, "", 2);
    reply_expect(put_tar("/datasets/d?strict=true", &tar), 201, NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(the_list_of_skipped_files_is_bounded)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 1);
    for (int i = 0; i < 150; i++) {
        char path[32];
        snprintf(path, sizeof path, "cat/bad%d.png", i);
        tar_file(&tar, path, "no");
    }
    struct reply reply = put_tar("/datasets/d", &tar);
    ck_assert_ptr_nonnull(strstr(reply.body, "cat/bad99.png"));
    ck_assert_ptr_null(strstr(reply.body, "cat/bad100.png"));
    reply_expect(reply, 201, "\"skipped_total\":150}", NULL);
    daemon_stop(&server);
}
END_TEST

START_TEST(a_class_of_unreadable_files_is_no_class)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 1);
    tar_file(&tar, "bird/1.png", "no");
    struct reply reply = put_tar("/datasets/d", &tar);
    ck_assert_ptr_null(strstr(reply.body, "\"label\":\"bird\""));
    reply_expect(reply, 201, "\"classes\":[{\"label\":\"cat\",", NULL);
    daemon_stop(&server);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(archives_without_samples_are_unprocessable)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    expect_problem(send_type(&server, "PUT", "/datasets/d", "application/x-tar", "", 0), 422, NULL,
                   "");
    expect_problem(send_type(&server, "PUT", "/datasets/d", "application/zip", "PK", 2), 422, NULL,
                   "");
    tar_end(&tar);
    expect_problem(
        send_type(&server, "PUT", "/datasets/d", "application/x-tar", tar.data, tar.size), 422,
        NULL, "");
    buf_clear(&tar);
    tar_file(&tar, "cat/1.png", "no");
    tar_file(&tar, "dog/1.png", "no");
    expect_problem(put_tar("/datasets/d", &tar), 422, NULL,
                   "none of 2 files can be read, first 'cat/1.png'");
    tar_png(&tar, "test/cat/1.png", 2, 2, 1, 1);
    tar_png(&tar, "test/dog/1.png", 2, 2, 1, 1);
    expect_problem(put_tar("/datasets/d", &tar), 422, NULL, "test samples only");
    ck_assert_int_eq(stored_files(), 0);
    daemon_stop(&server);
}
END_TEST

START_TEST(mixed_kinds_are_refused_with_their_numbers)
{
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 2);
    tar_file(&tar, "cat/1.off", cube);
    expect_problem(put_tar("/datasets/d", &tar), 422, NULL, "4 pictures, 1 meshes, 0 npy arrays");
    daemon_stop(&server);
}
END_TEST

START_TEST(queries_of_imports_are_checked)
{
    static const char *const cases[][2] = {
        {"size=0", "size"},
        {"size=28x", "size"},
        {"size=x", "size"},
        {"size=99999", "size"},
        {"size=-3", "size"},
        {"size=28x28x28", "size"},
        {"channels=2", "channels"},
        {"channels=4", "channels"},
        {"grid=1", "grid"},
        {"grid=65536", "grid"},
        {"points=0", "points"},
        {"points=99999999", "points"},
        {"aspect=no", "aspect"},
        {"axes=xxz", "axes"},
        {"axes=xyzz", "axes"},
        {"test_split=1", "test_split"},
        {"test_split=nan", "test_split"},
        {"test_split=inf", "test_split"},
        {"scale=0", "scale"},
        {"scale=1e999", "scale"},
        {"normalize=maybe", "normalize"},
        {"strict=2", "strict"},
        {"seed=-1", "seed"},
    };
    struct buf tar = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 1);
    tar_end(&tar);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/datasets/d?%s", cases[i][0]);
        expect_problem(client_send(&server, "PUT", path, NULL, tar.data, tar.size), 400,
                       cases[i][1], "");
    }
    buf_clear(&tar);
    daemon_stop(&server);
}
END_TEST

START_TEST(results_past_the_limit_are_refused_before_anything_is_decoded)
{
    struct buf tar = {0}, png = {0};
    daemon_start(&server, NULL);
    png_of(&png, 4, 4, 3, 1);
    for (int i = 0; i < 180; i++) { /* 180 x 48 MiB */
        char path[32];
        snprintf(path, sizeof path, "a/%d.png", i);
        tar_bytes(&tar, path, &png);
    }
    expect_problem(put_tar("/datasets/d?size=4096", &tar), 413, NULL, "need more than 8192 MiB");
    buf_clear(&png);
    ck_assert_int_eq(stored_files(), 0);
    daemon_stop(&server);
}
END_TEST

START_TEST(every_truncation_of_an_archive_is_a_4xx_or_a_smaller_dataset)
{
    struct buf tar = {0}, zipped = {0};
    daemon_start(&server, NULL);
    add_pets(&tar, "", 1);
    tar_end(&tar);
    gzip_of(&zipped, &tar);
    const struct buf *bodies[] = {&tar, &zipped};
    for (int b = 0; b < 2; b++) {
        for (size_t size = 1; size < bodies[b]->size; size += 1 + bodies[b]->size / 61) {
            struct reply reply = send_type(&server, "PUT", "/datasets/d", "application/x-tar",
                                           bodies[b]->data, size);
            ck_assert_msg(reply.status == 422 || reply.status == 201, "%zu bytes: %d", size,
                          reply.status);
            reply_clear(&reply);
        }
    }
    reply_expect(client_get(&server, "/health/live"), 200, NULL);
    buf_clear(&tar);
    buf_clear(&zipped);
    daemon_stop(&server);
}
END_TEST

START_TEST(a_bomb_is_refused)
{
    static uint8_t zeros[1 << 20];
    uint8_t header[TAR_BLOCK];
    struct buf head = {0}, block = {0}, body = {0}, member = {0};
    daemon_start(&server, NULL);
    tar_header(header, "a/1.png", '0', "", (uint64_t)4 << 30);
    buf_add(&head, header, sizeof header);
    gzip_of(&body, &head);
    buf_add(&block, zeros, sizeof zeros);
    gzip_of(&member, &block);
    for (int i = 0; i < 1024; i++)
        buf_add(&body, member.data, member.size);
    ck_assert_uint_lt(body.size, 4 << 20);
    struct reply reply = put_bytes("/datasets/d", &body);
    ck_assert_msg(reply.status == 413 || reply.status == 422, "%d: %s", reply.status, reply.body);
    reply_expect_problem(&reply, reply.status, "");
    ck_assert_int_eq(stored_files(), 0);
    buf_clear(&head);
    buf_clear(&block);
    buf_clear(&member);
    daemon_stop(&server);
}
END_TEST

/* ---- uploads on their way ---- */

static void wait_for(const char *path, const char *text)
{
    for (int i = 0; i < 500; i++) {
        struct reply reply = client_get(&server, path);
        bool found = strstr(reply.body, text) != NULL;
        reply_clear(&reply);
        if (found)
            return;
        usleep(10000);
    }
    ck_abort_msg("no %s in %s", text, path);
}

START_TEST(an_upload_is_seen_arriving_and_leaves_nothing_when_cut)
{
    static const char head[] = "PUT /datasets/big HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n"
                               "Content-Type: application/x-tar\r\nContent-Length: 9000000\r\n\r\n";
    static char part[3000000]; /* past what stays in memory */
    daemon_start(&server, NULL);
    int fd = client_connect(&server);
    client_write(fd, head, sizeof head - 1);
    client_write(fd, part, sizeof part);
    wait_for("/datasets", "\"bytes_received\":3000000,");
    reply_expect(client_get(&server, "/datasets/big"), 200,
                 "{\"name\":\"big\",\"versions\":[],\"uploads\":[{\"dataset\":\"big\","
                 "\"state\":\"receiving\",\"bytes_received\":3000000,\"bytes\":9000000,"
                 "\"entries_done\":0,\"entries\":null,",
                 "\"request_id\":\"mine\"}]}", NULL);
    close(fd);
    wait_for("/datasets", "\"uploads\":[]");
    expect_problem(client_get(&server, "/datasets/big"), 404, NULL, "no dataset 'big'");
    ck_assert_int_eq(stored_files(), 0);
    daemon_stop(&server);
}
END_TEST

TEST_PROGRAM("server archives", classes_are_folders_and_the_split_is_drawn_from_each,
             the_split_depends_on_seed_and_paths_alone, splits_of_the_archive_are_kept,
             tar_gzip_and_zip_are_known_by_their_bytes_whatever_type_is_sent,
             pictures_are_brought_to_one_size_and_depth,
             large_pictures_are_made_smaller_unless_asked,
             preprocessing_is_measured_stored_and_shown, preprocessing_travels_into_the_model,
             meshes_become_grids, arrays_of_one_shape_are_samples,
             files_that_cannot_be_read_are_named_and_the_rest_goes_in, strict_takes_all_or_nothing,
             the_list_of_skipped_files_is_bounded, a_class_of_unreadable_files_is_no_class,
             archives_without_samples_are_unprocessable, mixed_kinds_are_refused_with_their_numbers,
             queries_of_imports_are_checked,
             results_past_the_limit_are_refused_before_anything_is_decoded,
             every_truncation_of_an_archive_is_a_4xx_or_a_smaller_dataset, a_bomb_is_refused,
             an_upload_is_seen_arriving_and_leaves_nothing_when_cut)
