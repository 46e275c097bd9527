#include "datasets_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "name.h"

static bool number_labels(struct dataset_info *info, int classes, struct err *e)
{
    char text[CNN_CLASSES_MAX][12];
    const char *labels[CNN_CLASSES_MAX];
    for (int i = 0; i < classes; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        labels[i] = text[i];
    }
    return dataset_info_set_labels(info, labels, classes, e);
}

/* One more label, which differs from those before it. */
static bool take_label(const char **labels, int count, int classes, const char *label,
                       struct err *e)
{
    for (int i = 0; i < count && i < classes; i++) {
        if (strcmp(labels[i], label) == 0)
            return err_field(e, ERR_INVALID, "labels", "label '%s' is given twice", label);
    }
    if (!label_check(label, e))
        return err_within(e, "labels[%d]", count);
    if (count < classes)
        labels[count] = label;
    return true;
}

static bool split_labels(struct dataset_info *info, const char *text, int classes, struct err *e)
{
    const char *labels[CNN_CLASSES_MAX];
    int count = 0;
    char *copy = strdup(text), *rest = copy;
    if (!copy)
        return err_no_memory(e);
    bool ok = true;
    for (char *label; ok && (label = strsep(&rest, ",")); count++)
        ok = take_label(labels, count, classes, label, e);
    if (ok && count != classes)
        ok = err_field(e, ERR_INVALID, "labels", "%d labels for %d classes", count, classes);
    ok = ok && dataset_info_set_labels(info, labels, classes, e);
    free(copy);
    return ok;
}

bool datasets_set_labels(struct dataset_info *info, const char *text, int classes, struct err *e)
{
    return text ? split_labels(info, text, classes, e) : number_labels(info, classes, e);
}
