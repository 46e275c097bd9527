/* tensor_lift.h - every number array of a JSON document out of it, before it becomes a tree.
 *
 * For members of several names, wherever they stand: of {"inputs":[{"points":[[0,0,0],[1,1,1]]},
 * {"points":[[0,0,1]]}]} the name "points" gives two tensors and the tree of
 * {"inputs":[{"points":0},{"points":1}]}. Errors name the way to the number:
 * "inputs[1].points[0][2]".
 */
#ifndef STRIDED_TENSOR_LIFT_H
#define STRIDED_TENSOR_LIFT_H

#include "tensor_json.h"

struct cJSON;

struct tensor_list {
    int count;
    struct tensor *items; /* owned, as are their numbers */
};
void tensor_list_clear(struct tensor_list *list);

struct tensor_lift {
    const char *const *names;  /* of members to be lifted; NULL-terminated */
    const size_t *numbers_max; /* in all arrays of each of these names */
    int list_max;              /* arrays in all */
};
enum { TENSOR_NAMES_MAX = 4 };

/* The document as json_parse gives it (json_free it), after one pass. Where a member of such a name
 * has an array that holds no objects, its numbers become the next tensor and its place in the tree
 * the tensor's index. A plain number there is refused: a number of such a name is always an index.
 * NULL on failure, and the list is empty. */
struct cJSON *tensor_lift(const char *text, size_t size, const struct tensor_lift *lift,
                          struct tensor_list *list, struct err *e);

#endif
