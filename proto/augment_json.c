#include "augment_json.h"

#include <cJSON.h>
#include <stdio.h>

#include "json_read.h"
#include "limits.h"

static bool choices_parse(const cJSON *json, struct cnn_augment *augment, struct err *e)
{
    const char *flips[CNN_FLIP_COUNT], *fills[CNN_FILL_COUNT];
    int flip = augment->flip, fill = augment->fill;
    for (int i = 0; i < CNN_FLIP_COUNT; i++)
        flips[i] = cnn_flip_name((enum cnn_flip)i);
    for (int i = 0; i < CNN_FILL_COUNT; i++)
        fills[i] = cnn_fill_name((enum cnn_fill)i);
    if (!json_get_choice(json, "flip", flips, CNN_FLIP_COUNT, &flip, e) ||
        !json_get_choice(json, "fill", fills, CNN_FILL_COUNT, &fill, e))
        return false;
    augment->flip = (enum cnn_flip)flip;
    augment->fill = (enum cnn_fill)fill;
    return true;
}

static bool scale_parse(const cJSON *json, double scale[2], struct err *e)
{
    const cJSON *range = json_get(json, "scale");
    if (!range)
        return true;
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2)
        return json_wrong("scale", range, "a range [from, to]", e);
    for (int i = 0; i < 2; i++) {
        const cJSON *value = cJSON_GetArrayItem(range, i);
        char field[32];
        snprintf(field, sizeof field, "scale[%d]", i);
        if (!cJSON_IsNumber(value))
            return json_wrong(field, value, "a number", e);
        scale[i] = value->valuedouble;
    }
    return true;
}

bool augment_parse(const cJSON *json, struct cnn_augment *augment, struct err *e)
{
    static const char *const fields[] = {"shift", "flip",  "rotate90", "rotate", "rotate_z",
                                         "scale", "noise", "cutout",   "fill",   NULL};
    int64_t shift = augment->shift, rotate_z = augment->rotate_z, cutout = augment->cutout;
    if (!json_is_object(json, "", e) || !json_only(json, fields, e) ||
        !json_get_int(json, "shift", 0, CNN_DIM_MAX, &shift, e) ||
        !json_get_bool(json, "rotate90", &augment->rotate90, e) ||
        !json_get_double(json, "rotate", 0, 180, &augment->rotate, e) ||
        !json_get_int(json, "rotate_z", 0, CNN_TURNS_MAX, &rotate_z, e) ||
        !json_get_double(json, "noise", 0, CNN_NOISE_MAX, &augment->noise, e) ||
        !json_get_int(json, "cutout", 0, CNN_DIM_MAX, &cutout, e) ||
        !scale_parse(json, augment->scale, e) || !choices_parse(json, augment, e))
        return false;
    augment->shift = (int)shift;
    augment->rotate_z = (int)rotate_z;
    augment->cutout = (int)cutout;
    return true;
}

void augment_write(struct json_writer *w, const struct cnn_augment *augment)
{
    jw_object(w);
    jw_key_int(w, "shift", augment->shift);
    jw_key_string(w, "flip", cnn_flip_name(augment->flip));
    jw_key_bool(w, "rotate90", augment->rotate90);
    jw_key_double(w, "rotate", augment->rotate);
    jw_key_int(w, "rotate_z", augment->rotate_z);
    jw_key(w, "scale");
    jw_array(w);
    jw_double(w, augment->scale[0]);
    jw_double(w, augment->scale[1]);
    jw_array_end(w);
    jw_key_double(w, "noise", augment->noise);
    jw_key_int(w, "cutout", augment->cutout);
    jw_key_string(w, "fill", cnn_fill_name(augment->fill));
    jw_object_end(w);
}
