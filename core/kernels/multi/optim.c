/* optim.c - what an optimizer does to each parameter. The end of a run takes the same instructions
 * under a mask, so results do not depend on how the parameters are cut into runs. */
#include "maps.h"

#include "lanes.h"

/* keep * mean + take * value */
static VEC_INLINE vec moved(vec mean, float keep, vec value, float take)
{
    return lanes_fma(keep - (vec){0}, mean, take * value);
}

static VEC_INLINE vec sgd(const struct param_update *u, vec w, vec g, vec *first)
{
    vec gradient = g + u->decay * w;
    if (first) {
        *first = u->momentum * *first + gradient;
        gradient = u->nesterov ? gradient + u->momentum * *first : *first;
    }
    return w - u->lr * gradient;
}

static VEC_INLINE vec adam(const struct param_update *u, vec w, vec g, vec *first, vec *second)
{
    const vec weight = w * u->keep_weight, gradient = g + u->decay * weight;
    *first = moved(*first, u->keep1, gradient, u->take1);
    *second = moved(*second, u->keep2, gradient * gradient, u->take2);
    return weight - u->step_size * *first / (lanes_sqrt(*second) * u->root_scale + u->epsilon);
}

static VEC_INLINE vec rmsprop(const struct param_update *u, vec w, vec g, vec *first, vec *second)
{
    vec gradient = g + u->decay * w;
    *second = moved(*second, u->keep2, gradient * gradient, u->take2);
    gradient /= lanes_sqrt(*second) + u->epsilon;
    if (first)
        gradient = *first = u->momentum * *first + gradient;
    return w - u->lr * gradient;
}

/* One vector of parameters; `first` and `second` may be NULL. */
static VEC_INLINE void lanes_update(const struct param_update *u, int lanes, float *w,
                                    const float *g, float *first, float *second)
{
    vec mean = {0}, squares = {0};
    if (first)
        mean = lanes_load(first, lanes);
    if (second)
        squares = lanes_load(second, lanes);
    const vec weight = lanes_load(w, lanes), gradient = lanes_load(g, lanes);
    if (u->rule == UPDATE_SGD)
        lanes_store(w, sgd(u, weight, gradient, first ? &mean : NULL), lanes);
    else if (u->rule == UPDATE_ADAM)
        lanes_store(w, adam(u, weight, gradient, &mean, &squares), lanes);
    else
        lanes_store(w, rmsprop(u, weight, gradient, first ? &mean : NULL, &squares), lanes);
    if (first)
        lanes_store(first, mean, lanes);
    if (second)
        lanes_store(second, squares, lanes);
}

void KERNEL(update_params)(const struct param_update *u, size_t count, float *params,
                           const float *grads, float *first, float *second)
{
    const struct param_update constants = *u; /* nothing that is stored can change it */
    for (size_t i = 0; i < count; i += VEC_LANES) {
        float *mean = first ? first + i : NULL, *squares = second ? second + i : NULL;
        if (count - i >= VEC_LANES)
            lanes_update(&constants, VEC_LANES, params + i, grads + i, mean, squares);
        else
            lanes_update(&constants, (int)(count - i), params + i, grads + i, mean, squares);
    }
}

/* Half a vector of floats makes a whole one of doubles. */
enum { DOUBLES = VEC_LANES / 2, CHAINS = 4 };
typedef double doubles __attribute__((vector_size(sizeof(vec))));
typedef float half_vec __attribute__((vector_size(sizeof(vec) / 2)));

static VEC_INLINE doubles load_doubles(const float *p)
{
    half_vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, doubles);
}

double KERNEL(sum_squares)(size_t count, const float *x)
{
    doubles sums[CHAINS] = {{0}};
    size_t i = 0;
    for (; i + CHAINS * DOUBLES <= count; i += CHAINS * DOUBLES)
        VEC_FOR (chain, CHAINS) {
            const doubles v = load_doubles(x + i + chain * DOUBLES);
            sums[chain] += v * v;
        }
    const doubles sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    double total = 0;
    for (int lane = 0; lane < DOUBLES; lane++)
        total += sum[lane];
    for (; i < count; i++)
        total += (double)x[i] * (double)x[i];
    return total;
}
