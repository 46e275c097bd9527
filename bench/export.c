/* export - writes every net of cases.c, with random weights, to FOLDER/NAME.onnx, through the code
 * that the daemon exports models with. */
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "check.h"
#include "onnx.h"
#include "presets.h"

enum { CLASSES_MAX = 10 }; /* of the nets of cases.c */

static bool write_file(const char *folder, const char *name, const struct buf *buf)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.onnx", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool written = fwrite(buf->data, 1, buf->size, file) == buf->size;
    return fclose(file) == 0 && written;
}

/* "0", "1", ...: as many as the net has classes. */
static bool label_classes(struct model_meta *meta, int classes, struct err *e)
{
    CHECK(classes <= CLASSES_MAX);
    char texts[CLASSES_MAX][12], *labels[CLASSES_MAX];
    for (int i = 0; i < classes; i++) {
        snprintf(texts[i], sizeof texts[i], "%d", i);
        labels[i] = texts[i];
    }
    return model_meta_set_labels(meta, labels, classes, e);
}

static bool export_net(const char *folder, const char *name, struct err *e)
{
    struct cnn_spec spec;
    struct model_meta meta = {.preprocess.normalize.scale = 1.0f / 255}; /* of pictures */
    struct buf buf = {0};
    if (!cnn_preset_spec(cnn_preset_find(name), NULL, 0, &spec, e))
        return false;
    struct cnn_net *net = cnn_net_new(&spec, e);
    cnn_spec_clear(&spec);
    if (!net)
        return false;
    cnn_net_init(net, CNN_INIT_UNIFORM, 1);
    bool done = label_classes(&meta, cnn_net_output(net)->c, e) &&
                onnx_write(net, &meta, &buf, e) &&
                (write_file(folder, name, &buf) || err_set(e, ERR_IO, "cannot write '%s'", name));
    buf_clear(&buf);
    model_meta_clear(&meta);
    cnn_net_free(net);
    return done;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: export FOLDER\n");
        return EXIT_FAILURE;
    }
    for (int i = 0; i < net_case_count; i++)
        if (!export_net(argv[1], net_cases[i].preset, &e)) {
            fprintf(stderr, "%s\n", e.detail);
            return EXIT_FAILURE;
        }
    return EXIT_SUCCESS;
}
