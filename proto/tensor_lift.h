/* tensor_lift.h - every number array of a JSON document out of it, before it becomes a tree.
 *
 * What tensor_json_lift does for one top-level member, for members of several names, wherever they
 * stand: {"inputs":[{"points":[[0,0,0],[1,1,1]]},{"points":[[0,0,1]]}]} with the name "points"
 * gives two tensors and the rest {"inputs":[{"points":0},{"points":1}]}. Errors name the way to the
 * number: "inputs[1].points[0][2]".
 */
#ifndef STRIDED_TENSOR_LIFT_H
#define STRIDED_TENSOR_LIFT_H

#include "tensor_json.h"

struct tensor_list {
    int count;
    struct tensor *items; /* owned, as are their numbers */
};
void tensor_list_clear(struct tensor_list *list);

struct tensor_lift {
    const char *const *names; /* of members to be lifted; NULL-terminated */
    size_t count_max;         /* numbers in all */
    int list_max;             /* arrays in all */
};

/* Where a member of such a name has an array that holds no objects, its numbers become the next
 * tensor and its place in *rest the tensor's index. A plain number there is refused, and so are
 * names with escapes: a number of such a name in the rest is always an index. The rest is not
 * checked here: give it to json_parse. */
bool tensor_lift(const char *text, size_t size, const struct tensor_lift *lift,
                 struct tensor_list *list, struct buf *rest, struct err *e);

#endif
