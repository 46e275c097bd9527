/* Archives: every container and compression to the same files, hostile ones within bounds. */
#include "harness.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <zlib.h>

#include "archive_files.h"
#include "buf.h"
#include "exact.h"
#include "limits.h"
#include "tar.h"

static struct err e;

/* What an archive holds, as text: "path=bytes;", "path!why skipped;", "path?broken;", and at the
 * end "error" if it broke off there. */
static const char *contents(const void *bytes, size_t size, struct buf *text)
{
    struct archive_file file;
    buf_clear(text);
    e = (struct err){0};
    struct archive_files *files = archive_files_open(bytes, size, &e);
    bool ok = files != NULL;
    while (ok && (ok = archive_files_next(files, &file, &e)) && file.path) {
        buf_str(text, file.path);
        const void *data;
        size_t length;
        if (file.skipped)
            buf_fmt(text, "!%s;", file.skipped);
        else if (!archive_files_read(files, &data, &length, &e))
            buf_str(text, "?broken;");
        else {
            buf_str(text, "=");
            buf_add(text, data, length);
            buf_str(text, ";");
        }
    }
    if (!ok)
        buf_str(text, "error");
    archive_files_close(files);
    return buf_text(text);
}

static void check_contents(const struct buf *archive, const char *expected)
{
    struct buf text = {0};
    ck_assert(buf_ok(archive));
    char *exact = exact_copy(archive->data, archive->size);
    const char *got = contents(exact, archive->size, &text);
    ck_assert_msg(strcmp(got, expected) == 0, "%s (%s), expected %s", got, e.detail, expected);
    free(exact);
    buf_clear(&text);
}

/* Roundtrips through libarchive's own writers */

struct sample {
    const char *path, *text;
};
static const struct sample samples[] = {{"train/cat/1.png", "one"},
                                        {"train/dog/2.png", ""},
                                        {"test/k\xc3\xb6ter/3.png", "three\nlines"}};
static const char samples_text[] =
    "train/cat/1.png=one;train/dog/2.png=;test/k\xc3\xb6ter/3.png=three\nlines;";

static la_ssize_t append(struct archive *archive, void *context, const void *bytes, size_t size)
{
    (void)archive;
    buf_add(context, bytes, size);
    return (la_ssize_t)size;
}

static void add_entry(struct archive *archive, unsigned type, const char *path, const char *text)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_copy_pathname(entry, path);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (int64_t)strlen(text));
    ck_assert_msg(archive_write_header(archive, entry) == ARCHIVE_OK, "%s",
                  archive_error_string(archive));
    archive_write_data(archive, text, strlen(text));
    archive_entry_free(entry);
}

/* options: as archive_write_set_options has them, or NULL. The writer needs the locale for pax; the
 * reader has to do without, as in the daemon. */
static void write_samples(struct buf *out, int format, int filter, const char *options)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before = uselocale(utf8);
    struct archive *archive = archive_write_new();
    ck_assert_int_eq(archive_write_set_format(archive, format), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_add_filter(archive, filter), ARCHIVE_OK);
    if (options)
        ck_assert_int_eq(archive_write_set_options(archive, options), ARCHIVE_OK);
    archive_write_set_bytes_per_block(archive, 0);
    archive_write_open2(archive, out, NULL, append, NULL, NULL);
    add_entry(archive, AE_IFDIR, "train", "");
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        add_entry(archive, AE_IFREG, samples[i].path, samples[i].text);
    ck_assert_int_eq(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    uselocale(before);
    freelocale(utf8);
}

static const struct {
    int format, filter;
    const char *options;
} kinds[] = {
    {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_NONE, NULL},
    {ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FILTER_NONE, NULL},
    {ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FILTER_NONE, "hdrcharset=UTF-8"},
    {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, NULL},
    {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_BZIP2, NULL},
    {ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_ZSTD, NULL},
    {ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, "zip:compression=store"},
    {ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, "zip:compression=deflate"},
    {ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, "zip:zip64"},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

START_TEST(every_container_and_compression_gives_the_same_files)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        struct buf archive = {0};
        write_samples(&archive, kinds[i].format, kinds[i].filter, kinds[i].options);
        check_contents(&archive, samples_text);
        buf_clear(&archive);
    }
}
END_TEST

/* A cut archive never passes for a whole one, and a file in it is whole or named as broken. */
START_TEST(truncated_at_every_byte_is_an_error)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        struct buf archive = {0}, text = {0};
        write_samples(&archive, kinds[i].format, kinds[i].filter, kinds[i].options);
        /* Half of the end mark is enough, and padding after it is nothing. */
        size_t needed = archive.size;
        if (kinds[i].filter == ARCHIVE_FILTER_NONE && kinds[i].format != ARCHIVE_FORMAT_ZIP)
            while (needed > 0 && archive.data[needed - 1] == 0)
                needed--;
        for (size_t size = 0; size < needed; size++) {
            char *exact = exact_copy(archive.data, size);
            const char *got = contents(exact, size, &text);
            size_t length = strlen(got);
            if (length < 5 || strcmp(got + length - 5, "error") != 0 ||
                (e.code != ERR_UNPROCESSABLE && e.code != ERR_TOO_LARGE))
                ck_abort_msg("kind %d, %zu of %zu bytes: %s", i, size, archive.size, got);
            free(exact);
        }
        buf_clear(&archive);
        buf_clear(&text);
    }
}
END_TEST

/* Any answer will do that keeps to the bounds; the sanitizers watch. */
START_TEST(flipped_bytes_never_crash)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        struct buf archive = {0}, text = {0};
        write_samples(&archive, kinds[i].format, kinds[i].filter, kinds[i].options);
        size_t step = archive.size / 500 + 1;
        for (size_t at = 0; at < archive.size; at += step)
            for (int flip = 1; flip < 256; flip *= 8) {
                char *exact = exact_copy(archive.data, archive.size);
                exact[at] ^= (char)flip;
                ck_assert_ptr_nonnull(contents(exact, archive.size, &text));
                free(exact);
            }
        buf_clear(&archive);
        buf_clear(&text);
    }
}
END_TEST

START_TEST(a_file_is_listed_without_being_read)
{
    struct buf archive = {0};
    write_samples(&archive, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, NULL);
    struct archive_files *files = archive_files_open(archive.data, archive.size, &e);
    struct archive_file file;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        ck_assert(archive_files_next(files, &file, &e));
        ck_assert_str_eq(file.path, samples[i].path);
    }
    ck_assert(archive_files_next(files, &file, &e));
    ck_assert_ptr_null(file.path);
    archive_files_close(files);
    buf_clear(&archive);
}
END_TEST

START_TEST(other_bytes_are_no_archive)
{
    static const char *const others[] = {"",
                                         "x",
                                         "PK",
                                         "PK\3\4 and no more of it",
                                         "\x1f\x8b\x08",
                                         "\x89PNG\r\n\x1a\n",
                                         "Rar!\x1a\x07",
                                         "7z\xbc\xaf\x27\x1c"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        e = (struct err){0};
        ck_assert_ptr_null(archive_files_open(others[i], strlen(others[i]), &e));
        ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    }
    ck_assert_msg(strstr(e.detail, "not an archive that is read"), "%s", e.detail);
}
END_TEST

/* Hostile tars */

START_TEST(links_and_devices_are_named_and_never_followed)
{
    struct buf tar = {0};
    tar_add(&tar, "cat/", '5', "", "", 0);
    tar_add(&tar, "cat/passwd", '2', "/etc/passwd", "", 0);
    tar_add(&tar, "cat/hard", '1', "cat/passwd", "", 0);
    tar_add(&tar, "cat/null", '3', "", "", 0);
    tar_add(&tar, "cat/disk", '4', "", "", 0);
    tar_add(&tar, "cat/pipe", '6', "", "", 0);
    tar_file(&tar, "cat/passwd", "mine");
    tar_end(&tar);
    check_contents(&tar, "cat/passwd!a symbolic link;cat/hard!a hard link;cat/null!a device;"
                         "cat/disk!a device;cat/pipe!a fifo;cat/passwd=mine;");
    buf_clear(&tar);
}
END_TEST

START_TEST(paths_come_as_they_are)
{
    struct buf tar = {0};
    tar_file(&tar, "/etc/passwd", "a");
    tar_file(&tar, "../../x", "b");
    tar_file(&tar, "a\\b\n\xff", "c");
    tar_end(&tar);
    check_contents(&tar, "/etc/passwd=a;../../x=b;a\\b\n\xff=c;");
    buf_clear(&tar);
}
END_TEST

START_TEST(a_tar_cut_between_two_files_is_an_error)
{
    struct buf tar = {0};
    tar_file(&tar, "a/1", "one");
    check_contents(&tar, "a/1=one;error");
    ck_assert_str_eq(e.detail, "broken archive: it ends without an end mark");
    tar_end(&tar);
    check_contents(&tar, "a/1=one;");
    buf_clear(&tar);
    tar_end(&tar); /* without any file */
    check_contents(&tar, "");
    buf_clear(&tar);
}
END_TEST

/* Appends `count` gzip members of `size` zeros each. */
static void gzip_add(struct buf *out, const void *bytes, size_t size, int count)
{
    size_t room = size + 1024;
    uint8_t *member = malloc(room);
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_out = member;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    for (int i = 0; i < count; i++)
        buf_add(out, member, stream.total_out);
    deflateEnd(&stream);
    free(member);
}

static size_t peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss;
}

/* A thousand to one: a tar of a file of `gib` GiB, within gzip members of 1 MiB of zeros. */
static void make_bomb(struct buf *out, uint64_t gib)
{
    static const uint8_t zeros[1 << 20];
    uint8_t header[TAR_BLOCK];
    tar_header(header, "cat/bomb.png", '0', "", gib << 30);
    gzip_add(out, header, sizeof header, 1);
    gzip_add(out, zeros, sizeof zeros, (int)(gib << 10));
    gzip_add(out, zeros, 2 * TAR_BLOCK, 1);
}

START_TEST(a_bomb_of_one_file_is_refused_by_its_header_and_by_what_it_decodes_to)
{
    struct buf bomb = {0}, text = {0};
    make_bomb(&bomb, 2);
    ck_assert_uint_lt(bomb.size, 4 << 20);
    size_t before = peak_kib();
    ck_assert_str_eq(contents(bomb.data, bomb.size, &text), "cat/bomb.png?broken;error");
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_msg(strstr(e.detail, "decodes to more than 536870912, at most 4096 MiB and, past "
                                   "512 MiB, 200 times its size are read"),
                  "%s", e.detail);
    ck_assert_uint_lt(peak_kib() - before, 32 << 10);

    struct archive_files *files = archive_files_open(bomb.data, bomb.size, &e);
    struct archive_file file;
    const void *bytes;
    size_t size;
    ck_assert(archive_files_next(files, &file, &e));
    ck_assert(!archive_files_read(files, &bytes, &size, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.detail, "file 'cat/bomb.png' exceeds 67108864 bytes");
    archive_files_close(files);
    buf_clear(&bomb);
    buf_clear(&text);
}
END_TEST

START_TEST(a_bomb_of_many_files_is_refused)
{
    static const uint8_t zeros[1 << 20];
    uint8_t header[TAR_BLOCK];
    struct buf bomb = {0};
    tar_header(header, "cat/1.png", '0', "", sizeof zeros);
    struct buf pair = {0};
    gzip_add(&pair, header, sizeof header, 1);
    gzip_add(&pair, zeros, sizeof zeros, 1);
    for (int i = 0; i < 520; i++)
        buf_add(&bomb, pair.data, pair.size);
    struct archive_files *files = archive_files_open(bomb.data, bomb.size, &e);
    struct archive_file file;
    int seen = 0;
    bool ok = true;
    while ((ok = archive_files_next(files, &file, &e)) && file.path)
        seen++;
    ck_assert(!ok);
    ck_assert_msg(e.code == ERR_TOO_LARGE, "%s", e.detail);
    ck_assert_int_ge(seen, 500);
    ck_assert_int_lt(seen, 520);
    /* And again, for who does not listen. */
    e = (struct err){0};
    ck_assert(!archive_files_next(files, &file, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    archive_files_close(files);
    buf_clear(&pair);
    buf_clear(&bomb);
}
END_TEST

START_TEST(a_file_compressed_twice_is_refused)
{
    struct buf tar = {0}, once = {0}, twice = {0};
    tar_file(&tar, "a/1", "one");
    tar_end(&tar);
    gzip_add(&once, tar.data, tar.size, 1);
    check_contents(&once, "a/1=one;");
    gzip_add(&twice, once.data, once.size, 1);
    check_contents(&twice, "error");
    ck_assert_str_eq(e.detail, "archive compressed more than once");
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    buf_clear(&tar);
    buf_clear(&once);
    buf_clear(&twice);
}
END_TEST

START_TEST(an_archive_inside_is_a_file_like_any_other)
{
    struct buf inner = {0}, outer = {0}, text = {0};
    tar_file(&inner, "b/2", "two");
    tar_end(&inner);
    tar_add(&outer, "a/inner.tar", '0', "", inner.data, inner.size);
    tar_end(&outer);
    ck_assert_mem_eq(contents(outer.data, outer.size, &text), "a/inner.tar=b/2\0", 16);
    ck_assert_ptr_null(strstr(text.data, "b/2=two"));
    buf_clear(&inner);
    buf_clear(&outer);
    buf_clear(&text);
}
END_TEST

START_TEST(a_million_tiny_entries_are_refused)
{
    size_t count = LIMIT_ARCHIVE_ENTRIES + 1, size = count * TAR_BLOCK;
    uint8_t *tar = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(tar, MAP_FAILED);
    tar_header(tar, "cat/1.png", '0', "", 0);
    for (size_t i = 1; i < count; i++)
        memcpy(tar + i * TAR_BLOCK, tar, TAR_BLOCK);
    struct archive_files *files = archive_files_open(tar, size, &e);
    struct archive_file file;
    size_t seen = 0;
    while (archive_files_next(files, &file, &e) && file.path)
        seen++;
    ck_assert_uint_eq(seen, LIMIT_ARCHIVE_ENTRIES);
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.detail, "archive of more than 262144 entries");
    archive_files_close(files);
    munmap(tar, size);
}
END_TEST

/* A pax header that gives the next file a long path. */
START_TEST(paths_of_a_megabyte_are_bounded)
{
    for (size_t length = 1000; length <= 4000000; length *= 20) {
        struct buf tar = {0}, record = {0}, text = {0};
        buf_fmt(&record, "%zu path=", length);
        while (record.size < length - 1)
            buf_str(&record, "a");
        buf_str(&record, "\n");
        tar_add(&tar, "PaxHeader", 'x', "", record.data, record.size);
        tar_file(&tar, "short", "one");
        tar_end(&tar);
        const char *got = contents(tar.data, tar.size, &text);
        ck_assert_msg(strstr(got, "=one;") || strstr(got, "error"), "%zu: %.80s", length, got);
        buf_clear(&tar);
        buf_clear(&record);
        buf_clear(&text);
    }
}
END_TEST

/* GNU's old sparse header: a file of `size` bytes of which the last 512 are stored. */
static void tar_sparse(struct buf *tar, uint64_t size)
{
    uint8_t block[TAR_BLOCK], data[TAR_BLOCK];
    memset(data, 'x', sizeof data);
    tar_header(block, "cat/sparse", 'S', "", sizeof data);
    char *text = (char *)block;
    memcpy(text + 257, "ustar  ", 8);
    memset(text + 345, 0, 167);
    snprintf(text + 386, 12, "%011llo", (unsigned long long)(size - sizeof data));
    snprintf(text + 398, 12, "%011llo", (unsigned long long)sizeof data);
    snprintf(text + 483, 12, "%011llo", (unsigned long long)size);
    memset(text + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    snprintf(text + 148, 8, "%06o", sum);
    buf_add(tar, block, sizeof block);
    buf_add(tar, data, sizeof data);
}

START_TEST(holes_of_sparse_files_are_zeros_and_count)
{
    struct buf tar = {0};
    tar_sparse(&tar, 4096);
    tar_end(&tar);
    struct archive_files *files = archive_files_open(tar.data, tar.size, &e);
    struct archive_file file;
    const void *bytes;
    size_t size;
    ck_assert(archive_files_next(files, &file, &e));
    ck_assert_msg(archive_files_read(files, &bytes, &size, &e), "%s", e.detail);
    ck_assert_uint_eq(size, 4096);
    ck_assert_int_eq(((const char *)bytes)[3583], 0);
    ck_assert_int_eq(((const char *)bytes)[3584], 'x');
    archive_files_close(files);
    buf_clear(&tar);

    tar_sparse(&tar, (uint64_t)1 << 32);
    tar_end(&tar);
    check_contents(&tar, "cat/sparse?broken;");
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    buf_clear(&tar);

    /* 16 KiB that stand for 1 GiB. */
    for (int i = 0; i < 16; i++)
        tar_sparse(&tar, LIMIT_ARCHIVE_FILE_BYTES);
    tar_end(&tar);
    files = archive_files_open(tar.data, tar.size, &e);
    int read = 0;
    while (archive_files_next(files, &file, &e) && file.path &&
           archive_files_read(files, &bytes, &size, &e))
        read++;
    ck_assert_int_eq(read, 8);
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    archive_files_close(files);
    buf_clear(&tar);
}
END_TEST

/* Zip files by hand: stored entries with a central directory. */

struct zip_entry {
    const char *path;
    const void *bytes;
    uint32_t size, crc, unpacked;
    uint16_t method, flags;
    uint32_t mode; /* Unix, with the kind of file */
};

static void add_le(struct buf *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_add(out, &(char){(char)(value >> (8 * i))}, 1);
}

static struct zip_entry stored(const char *path, const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    return (struct zip_entry){.path = path,
                              .bytes = text,
                              .size = size,
                              .unpacked = size,
                              .crc = (uint32_t)crc32(0, (const Bytef *)text, size),
                              .mode = 0100644};
}

static void add_zip_fields(struct buf *out, const struct zip_entry *entry)
{
    add_le(out, 20, 2);
    add_le(out, entry->flags, 2);
    add_le(out, entry->method, 2);
    add_le(out, 0, 4); /* time, date */
    add_le(out, entry->crc, 4);
    add_le(out, entry->size, 4);
    add_le(out, entry->unpacked, 4);
    add_le(out, strlen(entry->path), 2);
    add_le(out, 0, 2); /* extra */
}

static void make_zip(struct buf *out, const struct zip_entry *entries, int count)
{
    uint64_t offsets[8];
    for (int i = 0; i < count; i++) {
        offsets[i] = out->size;
        buf_add(out, "PK\3\4", 4);
        add_zip_fields(out, &entries[i]);
        buf_str(out, entries[i].path);
        buf_add(out, entries[i].bytes, entries[i].size);
    }
    uint64_t start = out->size;
    for (int i = 0; i < count; i++) {
        buf_add(out, "PK\1\2\x14\3", 6); /* made by: Unix */
        add_zip_fields(out, &entries[i]);
        add_le(out, 0, 6); /* comment, disk, internal */
        add_le(out, (uint64_t)entries[i].mode << 16, 4);
        add_le(out, offsets[i], 4);
        buf_str(out, entries[i].path);
    }
    uint64_t size = out->size - start;
    buf_add(out, "PK\5\6\0\0\0\0", 8);
    add_le(out, (uint64_t)count, 2);
    add_le(out, (uint64_t)count, 2);
    add_le(out, size, 4);
    add_le(out, start, 4);
    add_le(out, 0, 2);
}

START_TEST(links_in_a_zip_are_named_and_never_followed)
{
    struct zip_entry entries[] = {stored("cat/1.png", "one"), stored("cat/link", "/etc/passwd"),
                                  stored("../up", "two")};
    entries[1].mode = 0120777;
    struct buf zip = {0};
    make_zip(&zip, entries, 3);
    check_contents(&zip, "cat/1.png=one;cat/link!a symbolic link;../up=two;");
    buf_clear(&zip);
}
END_TEST

START_TEST(a_broken_file_in_a_zip_is_named_and_the_rest_is_read)
{
    struct zip_entry entries[] = {stored("cat/1.png", "one"), stored("cat/2.png", "two"),
                                  stored("cat/3.png", "secret"), stored("cat/4.png", "four")};
    entries[1].crc ^= 1;
    entries[2].flags = 1; /* encrypted */
    struct buf zip = {0};
    make_zip(&zip, entries, 4);
    check_contents(&zip, "cat/1.png=one;cat/2.png?broken;cat/3.png!encrypted;cat/4.png=four;");
    ck_assert_msg(strstr(e.detail, "file 'cat/2.png' is broken: "), "%s", e.detail);
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    buf_clear(&zip);
}
END_TEST

START_TEST(what_may_ask_for_4_gib_of_dictionary_is_not_read)
{
    struct zip_entry entries[] = {stored("cat/1.png", "\x9\x4\x5"
                                                      "123456789"),
                                  stored("cat/2.png", "two")};
    entries[0].method = 14; /* lzma */
    struct buf archive = {0};
    make_zip(&archive, entries, 2);
    check_contents(&archive, "cat/1.png!compressed by a method other than deflate;cat/2.png=two;");
    buf_clear(&archive);
    write_samples(&archive, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_XZ, NULL);
    check_contents(&archive, "error");
    ck_assert_str_eq(e.detail,
                     "not an archive that is read: tar (plain, gzip, bzip2, zstd) or zip, whole");
    buf_clear(&archive);
}
END_TEST

START_TEST(a_zip_bomb_is_refused)
{
    static uint8_t zeros[1 << 20];
    struct buf packed = {0}, zip = {0};
    gzip_add(&packed, zeros, sizeof zeros, 1);
    /* gzip's header has 10 bytes, its tail 8; 1 MiB in it is 1 KiB. */
    struct zip_entry entry = {.path = "cat/1.png",
                              .bytes = packed.data + 10,
                              .size = (uint32_t)packed.size - 18,
                              .unpacked = sizeof zeros,
                              .crc = (uint32_t)crc32(0, zeros, sizeof zeros),
                              .method = 8,
                              .mode = 0100644};
    make_zip(&zip, &entry, 1);
    /* One piece of data for every entry of the central directory, as overlapping bombs do. */
    size_t local = 30 + strlen(entry.path) + entry.size, central = 46 + strlen(entry.path);
    struct buf bomb = {0};
    buf_add(&bomb, zip.data, local);
    for (int i = 0; i < 600; i++)
        buf_add(&bomb, zip.data + local, central);
    buf_add(&bomb, "PK\5\6\0\0\0\0", 8);
    add_le(&bomb, 600, 2);
    add_le(&bomb, 600, 2);
    add_le(&bomb, 600 * central, 4);
    add_le(&bomb, local, 4);
    add_le(&bomb, 0, 2);
    struct archive_files *files = archive_files_open(bomb.data, bomb.size, &e);
    ck_assert_msg(files != NULL, "%s", e.detail);
    struct archive_file file;
    const void *bytes;
    size_t size, total = 0;
    while (archive_files_next(files, &file, &e) && file.path &&
           archive_files_read(files, &bytes, &size, &e))
        total += size;
    ck_assert_uint_le(total, (size_t)LIMIT_ARCHIVE_RATIO_FLOOR_MIB << 20);
    archive_files_close(files);
    buf_clear(&packed);
    buf_clear(&zip);
    buf_clear(&bomb);
}
END_TEST

START_TEST(a_zip_whose_sizes_lie_is_bounded)
{
    struct zip_entry entry = stored("cat/1.png", "one");
    entry.unpacked = 0xfffffff0;
    struct buf zip = {0};
    make_zip(&zip, &entry, 1);
    check_contents(&zip, "cat/1.png?broken;");
    buf_clear(&zip);
}
END_TEST

START_TEST(a_central_directory_of_a_million_entries_is_refused_unread)
{
    struct zip_entry entry = stored("c/1", "");
    struct buf one = {0}, zip = {0};
    make_zip(&one, &entry, 1);
    const size_t local = 30 + 3, central = 46 + 3;
    buf_reserve(&zip, local + central * (LIMIT_ARCHIVE_ENTRIES + 1) + 22);
    buf_add(&zip, one.data, local);
    for (int i = 0; i <= LIMIT_ARCHIVE_ENTRIES; i++)
        buf_add(&zip, one.data + local, central);
    buf_add(&zip, "PK\5\6\0\0\0\0\1\0\1\0", 12);
    add_le(&zip, central, 4);
    add_le(&zip, local, 4);
    add_le(&zip, 0, 2);
    size_t before = peak_kib();
    ck_assert_ptr_null(archive_files_open(zip.data, zip.size, &e));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_uint_lt(peak_kib() - before, 4 << 10);
    buf_clear(&one);
    buf_clear(&zip);
}
END_TEST

TEST_PROGRAM("proto_archive", every_container_and_compression_gives_the_same_files,
             truncated_at_every_byte_is_an_error, flipped_bytes_never_crash,
             a_file_is_listed_without_being_read, other_bytes_are_no_archive,
             links_and_devices_are_named_and_never_followed, paths_come_as_they_are,
             a_tar_cut_between_two_files_is_an_error,
             a_bomb_of_one_file_is_refused_by_its_header_and_by_what_it_decodes_to,
             a_bomb_of_many_files_is_refused, a_file_compressed_twice_is_refused,
             an_archive_inside_is_a_file_like_any_other, a_million_tiny_entries_are_refused,
             paths_of_a_megabyte_are_bounded, holes_of_sparse_files_are_zeros_and_count,
             links_in_a_zip_are_named_and_never_followed,
             a_broken_file_in_a_zip_is_named_and_the_rest_is_read,
             what_may_ask_for_4_gib_of_dictionary_is_not_read, a_zip_bomb_is_refused,
             a_zip_whose_sizes_lie_is_bounded,
             a_central_directory_of_a_million_entries_is_refused_unread)
