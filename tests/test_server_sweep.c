/* What a start makes of files that the catalogue does not name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "harness.h"
#include "sweep.h"

static char root[256];
static struct store *store;
static struct err error;

#define OK(call) ck_assert_msg((call), "%s", error.detail)

static void begin(void)
{
    char path[300];
    harness_tmpdir(root, sizeof root);
    OK(files_open(root, &error));
    snprintf(path, sizeof path, "%s/strided.db", root);
    store = store_open(path, &error);
    ck_assert_msg(store, "%s", error.detail);
}

static void end(void)
{
    store_close(store);
    files_close();
    harness_rmdir(root);
}

static void whole(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", root, name);
}

/* Makes a file, and the folder it is in. */
static void put(const char *name)
{
    char path[512];
    whole(path, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    mkdir(path, 0755);
    *slash = '/';
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
}

static bool there(const char *name)
{
    char path[512];
    whole(path, name);
    return access(path, F_OK) == 0;
}

static int next_version(const char *kind, const char *name)
{
    int version;
    OK(store_next_version(store, kind, name, &version, &error));
    return version;
}

static void add_dataset(const char *name)
{
    struct store_dataset row = {.version = next_version("dataset", name), .info = (char[]){"{}"}};
    snprintf(row.name, sizeof row.name, "%s", name);
    OK(store_dataset_add(store, &row, &error));
}

static void add_model(const char *name)
{
    struct store_model row = {.version = next_version("model", name), .active = true};
    snprintf(row.name, sizeof row.name, "%s", name);
    OK(store_model_add(store, &row, &error));
}

START_TEST(files_of_rows_stay)
{
    begin();
    add_dataset("d");
    add_model("m");
    put("datasets/d/1.safetensors");
    put("models/m/1.onnx");
    OK(sweep_run(store, &error));
    ck_assert(there("datasets/d/1.safetensors"));
    ck_assert(there("models/m/1.onnx"));
    end();
}
END_TEST

/* The number was given, so the file came, but its row did not, or went. */
START_TEST(files_of_given_versions_without_a_row_go)
{
    begin();
    add_dataset("d");
    next_version("dataset", "d");
    next_version("model", "m");
    put("datasets/d/1.safetensors");
    put("datasets/d/2.safetensors");
    put("models/m/1.onnx");
    OK(sweep_run(store, &error));
    ck_assert(there("datasets/d/1.safetensors"));
    ck_assert(!there("datasets/d/2.safetensors"));
    ck_assert_msg(!there("models/m"), "an empty folder stays");
    end();
}
END_TEST

/* As after the database was lost, or replaced by an older one. */
START_TEST(files_of_versions_that_were_never_given_stay)
{
    static const char *const names[] = {"datasets/d/2.safetensors",
                                        "datasets/other/1.safetensors",
                                        "models/m/1.onnx",
                                        "models/m/notes.txt",
                                        "models/m/01.onnx",
                                        "models/m/1.onnx.bak",
                                        "models/README"};
    begin();
    add_dataset("d");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        put(names[i]);
    OK(sweep_run(store, &error));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_msg(there(names[i]), "%s went", names[i]);
    end();
}
END_TEST

static int64_t add_job(void)
{
    struct store_job row = {.request = (char[]){"{}"}, .dataset_version = 1, .epochs = 1};
    bool replayed;
    snprintf(row.model, sizeof row.model, "m");
    snprintf(row.dataset, sizeof row.dataset, "d");
    OK(store_job_add(store, &row, NULL, 1000, &replayed, &error));
    return row.id;
}

START_TEST(checkpoints_stay_of_jobs_that_may_go_on)
{
    const struct progress done = {.type = PROGRESS_DONE};
    begin();
    add_dataset("d");
    for (int i = 0; i < 4; i++) {
        struct store_job row = {.id = 0};
        bool found;
        add_job();
        OK(store_job_start_next(store, &row, &found, &error));
        store_job_clear(&row);
    }
    OK(store_job_end(store, 2, JOB_SUCCEEDED, "", &done, NULL, &error));
    OK(store_job_end(store, 3, JOB_FAILED, "no space", NULL, NULL, &error));
    OK(store_job_end(store, 4, JOB_CANCELLED, "", NULL, NULL, &error));
    OK(store_job_delete(store, 4, &error));
    for (int i = 1; i <= 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "checkpoints/%d.safetensors", i);
        put(name);
    }
    put("checkpoints/1.safetensors.part");
    OK(sweep_run(store, &error));
    ck_assert_msg(there("checkpoints/1.safetensors"), "of a queued job");
    ck_assert_msg(!there("checkpoints/2.safetensors"), "of a job that succeeded");
    ck_assert_msg(there("checkpoints/3.safetensors"), "of a job that failed");
    ck_assert_msg(!there("checkpoints/4.safetensors"), "of a deleted job");
    ck_assert_msg(!there("checkpoints/5.safetensors"), "of no job");
    ck_assert_msg(!there("checkpoints/1.safetensors.part"), "half a checkpoint");
    end();
}
END_TEST

TEST_PROGRAM("server sweep", files_of_rows_stay, files_of_given_versions_without_a_row_go,
             files_of_versions_that_were_never_given_stay, checkpoints_stay_of_jobs_that_may_go_on)
