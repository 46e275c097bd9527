/* Paths of an archive to classes and splits. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_layout.h"
#include "limits.h"
#include "name.h"

static struct err e;
static struct archive_layout *layout;

static void decide(const char *const *paths, size_t count, const char *const *suffixes)
{
    layout = archive_layout_new(suffixes, &e);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(archive_layout_add(layout, paths[i], &e), "%s", e.detail);
    ck_assert_msg(archive_layout_decide(layout, &e), "%s", e.detail);
    ck_assert_uint_eq(archive_layout_count(layout), count);
}

/* "train/cat", "-/cat" without a split, or why not. */
static const char *place_text(size_t i)
{
    static char text[256];
    struct place place = archive_layout_place(layout, i);
    int count;
    const char *const *labels = archive_layout_labels(layout, &count);
    if (place.fate != PLACE_TAKEN)
        return place.reason;
    ck_assert_int_lt(place.label, count);
    snprintf(text, sizeof text, "%s/%s",
             place.split == SPLIT_COUNT ? "-" : dataset_split_name(place.split),
             labels[place.label]);
    return text;
}

#define STRAY "does not lie where the others do"
#define LEFT "is no sample but a system's own file"

/* Pairs of a path and where it belongs. */
static void check_pairs(const char *const (*pairs)[2], size_t count, const char *const *suffixes)
{
    const char *paths[32];
    ck_assert_uint_le(count, 32);
    for (size_t i = 0; i < count; i++)
        paths[i] = pairs[i][0];
    decide(paths, count, suffixes);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(strcmp(place_text(i), pairs[i][1]) == 0, "'%s' is at %s, expected %s",
                      paths[i], place_text(i), pairs[i][1]);
    archive_layout_free(layout);
}
#define CHECK_PLACES(suffixes, ...)                                   \
    do {                                                              \
        static const char *const pairs[][2] = {__VA_ARGS__};          \
        check_pairs(pairs, sizeof pairs / sizeof pairs[0], suffixes); \
    } while (0)

START_TEST(each_layout_is_told_from_all_paths)
{
    CHECK_PLACES(NULL, {"dog/1.png", "-/dog"}, {"cat/1.png", "-/cat"}, {"dog/2.png", "-/dog"});
    CHECK_PLACES(NULL, {"train/dog/1.png", "train/dog"}, {"test/cat/1.png", "test/cat"},
                 {"train/cat/1.png", "train/cat"});
    CHECK_PLACES(NULL, {"dog/train/1.png", "train/dog"}, {"dog/test/1.png", "test/dog"},
                 {"cat/train/1.png", "train/cat"});
}
END_TEST

START_TEST(one_common_folder_is_left_out)
{
    CHECK_PLACES(NULL, {"ModelNet10/bathtub/train/bathtub_0001.off", "train/bathtub"},
                 {"ModelNet10/bathtub/test/bathtub_0107.off", "test/bathtub"},
                 {"ModelNet10/night_stand/train/x.off", "train/night_stand"});
    CHECK_PLACES(NULL, {"data/train/dog/1.png", "train/dog"}, {"data/test/cat/1.png", "test/cat"});
    CHECK_PLACES(NULL, {"data/dog/1.png", "-/dog"}, {"data/cat/1.png", "-/cat"});
    /* Only one: below two there is no layout. */
    layout = archive_layout_new(NULL, &e);
    archive_layout_add(layout, "a/b/c/d/1.png", &e);
    ck_assert(!archive_layout_decide(layout, &e));
    archive_layout_free(layout);
}
END_TEST

START_TEST(train_and_test_may_be_classes)
{
    CHECK_PLACES(NULL, {"train/1.png", "-/train"}, {"car/1.png", "-/car"});
    CHECK_PLACES(NULL, {"train/1.png", "-/train"}, {"test/1.png", "-/test"});
    CHECK_PLACES(NULL, {"toys/train/1.png", "train/toys"}, {"toys/test/1.png", "test/toys"});
    CHECK_PLACES(NULL, {"toys/train/1.png", "-/train"}, {"toys/car/1.png", "-/car"},
                 {"toys/car/2.png", "-/car"});
    CHECK_PLACES(NULL, {"car/train/1.png", "train/car"}, {"train/train/1.png", "train/train"},
                 {"train/test/1.png", "test/train"});
    CHECK_PLACES(NULL, {"train/train/1.png", "train/train"}, {"train/car/1.png", "train/car"},
                 {"test/train/1.png", "test/train"});
}
END_TEST

START_TEST(one_split_or_one_class_is_enough)
{
    CHECK_PLACES(NULL, {"train/dog/1.png", "train/dog"}, {"train/cat/1.png", "train/cat"});
    CHECK_PLACES(NULL, {"dog/test/1.png", "test/dog"}, {"cat/test/1.png", "test/cat"});
    CHECK_PLACES(NULL, {"dog/1.png", "-/dog"}, {"dog/2.png", "-/dog"});
    CHECK_PLACES(NULL, {"dog/train/1.png", "train/dog"});
}
END_TEST

START_TEST(splits_are_named_in_any_case)
{
    CHECK_PLACES(NULL, {"Train/dog/1.png", "train/dog"}, {"TEST/dog/1.png", "test/dog"});
    CHECK_PLACES(NULL, {"training/dog/1.png", "-/dog"}, {"training/cat/1.png", "-/cat"});
}
END_TEST

START_TEST(the_layout_that_places_most_wins_and_the_rest_is_stray)
{
    CHECK_PLACES(NULL, {"train/dog/1.png", "train/dog"}, {"cat/1.png", STRAY},
                 {"test/dog/1.png", "test/dog"}, {"train/dog/more/2.png", STRAY},
                 {"valid/dog/1.png", STRAY}, {"list.txt", STRAY});
    CHECK_PLACES(NULL, {"dog/1.png", "-/dog"}, {"cat/1.png", "-/cat"}, {"train/car/1.png", STRAY});
    /* A file beside the folders does not hinder leaving out the common one. */
    CHECK_PLACES(NULL, {"README.txt", STRAY}, {"data/README.txt", STRAY},
                 {"data/dog/1.png", "-/dog"}, {"data/cat/1.png", "-/cat"});
}
END_TEST

START_TEST(dots_and_double_slashes_are_no_folders)
{
    CHECK_PLACES(NULL, {"./dog/1.png", "-/dog"}, {"cat//1.png", "-/cat"},
                 {"././cat/./2.png", "-/cat"});
    CHECK_PLACES(NULL, {"./data/train/dog/1.png", "train/dog"},
                 {"data/test/dog/1.png", "test/dog"});
}
END_TEST

START_TEST(what_systems_leave_behind_is_ignored)
{
    CHECK_PLACES(NULL, {"dog/1.png", "-/dog"}, {"cat/1.png", "-/cat"},
                 {"__MACOSX/dog/._1.png", LEFT}, {"dog/._1.png", LEFT}, {".DS_Store", LEFT},
                 {".git/config", LEFT}, {"cat/.hidden/2.png", LEFT}, {"cat/Thumbs.db", LEFT},
                 {"cat/thumbs.db", LEFT}, {"cat/desktop.ini", LEFT});
    /* Nor does it hinder leaving out the common folder. */
    CHECK_PLACES(NULL, {"m/dog/train/1.off", "train/dog"}, {"m/cat/train/1.off", "train/cat"},
                 {"__MACOSX/m/dog/train/._1.off", LEFT});
}
END_TEST

START_TEST(only_files_of_known_kinds_decide)
{
    static const char *const kinds[] = {"png", "off", NULL};
#define OTHER "is of no kind that is read"
    CHECK_PLACES(kinds, {"dog/1.PNG", "-/dog"}, {"cat/1.off", "-/cat"}, {"cat/notes.txt", OTHER},
                 {"cat/png", OTHER}, {"cat/xpng", OTHER}, {"cat/.png", LEFT}, {"cat/", OTHER});
    CHECK_PLACES(kinds, {"d/dog/1.png", "-/dog"}, {"d/cat/1.off", "-/cat"}, {"docs/a.txt", OTHER},
                 {"docs/b.txt", OTHER}, {"docs/c.txt", OTHER});
}
END_TEST

START_TEST(names_that_could_lead_elsewhere_are_refused)
{
    CHECK_PLACES(NULL, {"dog/1.png", "-/dog"}, {"/dog/2.png", "is an absolute path"},
                 {"../dog/3.png", "has '..' in its path"}, {"dog/../4.png", "has '..' in its path"},
                 {"dog/..", "has '..' in its path"}, {".git/../x", "has '..' in its path"},
                 {"..\\dog\\5.png", "has a backslash"}, {"C:\\dog\\6.png", "has a backslash"},
                 {"dog/a\nb.png", "has a control character"},
                 {"d\x1b[31mog/7.png", "has a control character"},
                 {"d\x7fog/8.png", "has a control character"},
                 {"d\xc2\x85og/9.png", "has a control character"},
                 {"d\xffog/10.png", "is not UTF-8"}, {"d\xc0\xaeog/11.png", "is not UTF-8"},
                 {"d\xed\xa0\x80og/12.png", "is not UTF-8"}, {"dog/\xe2\x82", "is not UTF-8"},
                 {"", "has no path"}, {".", "has no path"}, {"./", "has no path"},
                 {"...dog/1.png", LEFT}, {"k\xc3\xb6ter/1.png", "-/k\xc3\xb6ter"},
                 {"dog/..1..png", LEFT}, {"dog/1..png", "-/dog"});
}
END_TEST

START_TEST(lengths_are_bounded)
{
    char folder[LIMIT_LABEL_BYTES + 2], path[LIMIT_ARCHIVE_PATH_BYTES + 2];
    char fits[sizeof folder + 8], longer[sizeof folder + 8];
    memset(folder, 'a', sizeof folder);
    snprintf(longer, sizeof longer, "%.*s/1.png", LIMIT_LABEL_BYTES + 1, folder);
    snprintf(fits, sizeof fits, "%.*s/1.png", LIMIT_LABEL_BYTES, folder);
    memset(path, 'b', sizeof path);
    path[1] = '/';
    path[LIMIT_ARCHIVE_PATH_BYTES + 1] = '\0';
    decide((const char *[]){fits, longer, path, path + 1}, 3, NULL);
    ck_assert_int_eq(archive_layout_place(layout, 0).fate, PLACE_TAKEN);
    ck_assert_str_eq(place_text(1), "has a folder's name longer than a label may be");
    ck_assert_int_eq(archive_layout_place(layout, 1).fate, PLACE_REFUSED);
    ck_assert_str_eq(place_text(2), "is longer than 512 bytes");
    archive_layout_free(layout);
    path[LIMIT_ARCHIVE_PATH_BYTES] = '\0';
    decide((const char *const[]){path}, 1, NULL);
    ck_assert_str_eq(place_text(0), "-/b");
    archive_layout_free(layout);
}
END_TEST

START_TEST(labels_are_sorted_distinct_and_valid)
{
    decide((const char *const[]){"b/1", "a/1", "B/1", "\xc3\xa4/1", "a b/1", "a/2", "10/1", "9/1"},
           8, NULL);
    int count;
    const char *const *labels = archive_layout_labels(layout, &count);
    static const char *const expected[] = {"10", "9", "B", "a", "a b", "b", "\xc3\xa4"};
    ck_assert_int_eq(count, 7);
    for (int i = 0; i < count; i++) {
        ck_assert_str_eq(labels[i], expected[i]);
        ck_assert(label_check(labels[i], &e));
    }
    ck_assert_int_eq(archive_layout_place(layout, 1).label, 3);
    ck_assert_int_eq(archive_layout_place(layout, 5).label, 3);
    archive_layout_free(layout);
}
END_TEST

START_TEST(an_archive_without_samples_is_refused)
{
    layout = archive_layout_new(NULL, &e);
    ck_assert(!archive_layout_decide(layout, &e));
    ck_assert_int_eq(e.code, ERR_UNPROCESSABLE);
    ck_assert(archive_layout_add(layout, "1.png", &e));
    ck_assert(archive_layout_add(layout, "../cat/1.png", &e));
    ck_assert(!archive_layout_decide(layout, &e));
    ck_assert_msg(strstr(e.detail, "none of the archive's 2 files is a sample"), "%s", e.detail);
    archive_layout_free(layout);
}
END_TEST

static bool decide_classes(int classes)
{
    layout = archive_layout_new(NULL, &e);
    for (int i = 0; i < classes; i++) {
        char path[32];
        snprintf(path, sizeof path, "class%d/1.png", i);
        if (!archive_layout_add(layout, path, &e))
            ck_abort_msg("%s", e.detail);
    }
    bool ok = archive_layout_decide(layout, &e);
    archive_layout_free(layout);
    return ok;
}

START_TEST(classes_are_bounded)
{
    ck_assert(decide_classes(CNN_CLASSES_MAX));
    ck_assert(!decide_classes(CNN_CLASSES_MAX + 1));
    ck_assert_int_eq(e.code, ERR_TOO_LARGE);
    ck_assert_str_eq(e.detail, "archive of more than 1024 classes");
}
END_TEST

START_TEST(as_many_files_as_an_archive_may_hold_are_placed)
{
    layout = archive_layout_new(NULL, &e);
    for (int i = 0; i < LIMIT_ARCHIVE_ENTRIES; i++) {
        char path[32];
        snprintf(path, sizeof path, "%s/class%d/%d", i % 7 ? "train" : "test", i % 100, i);
        if (!archive_layout_add(layout, path, &e))
            ck_abort_msg("%s", e.detail);
    }
    ck_assert(archive_layout_decide(layout, &e));
    for (size_t i = 0; i < LIMIT_ARCHIVE_ENTRIES; i++) {
        struct place place = archive_layout_place(layout, i);
        if (place.fate != PLACE_TAKEN || place.split != (i % 7 ? SPLIT_TRAIN : SPLIT_TEST))
            ck_abort_msg("file %zu", i);
    }
    archive_layout_free(layout);
}
END_TEST

TEST_PROGRAM("proto_archive_layout", each_layout_is_told_from_all_paths,
             one_common_folder_is_left_out, train_and_test_may_be_classes,
             one_split_or_one_class_is_enough, splits_are_named_in_any_case,
             the_layout_that_places_most_wins_and_the_rest_is_stray,
             dots_and_double_slashes_are_no_folders, what_systems_leave_behind_is_ignored,
             only_files_of_known_kinds_decide, names_that_could_lead_elsewhere_are_refused,
             lengths_are_bounded, labels_are_sorted_distinct_and_valid,
             an_archive_without_samples_is_refused, classes_are_bounded,
             as_many_files_as_an_archive_may_hold_are_placed)
