#include "evaluator.h"

#include <pthread.h>
#include <stdlib.h>

#include "limits.h"
#include "pool.h"
#include "train.h"

struct evaluator {
    struct pool *pool; /* of one thread */
    int threads;       /* of the team */
};

/* One evaluation, and who waits for it. */
struct turn {
    const struct evaluator *evaluator;
    const struct cnn_net *net; /* NULL: only make the team */
    const struct cnn_samples *samples;
    struct cnn_loss loss;
    struct cnn_eval *eval;
    struct err *e;
    bool ok;

    pthread_mutex_t mutex; /* guards done */
    pthread_cond_t ended;
    bool done;
};

static void take_turn(void *context, bool cancelled)
{
    struct turn *turn = context;
    int threads = turn->evaluator->threads;
    if (cancelled)
        turn->ok = err_set(turn->e, ERR_UNAVAILABLE, "the daemon is stopping");
    else if (turn->net)
        turn->ok = cnn_evaluate(turn->net, turn->samples, NULL, turn->samples->count, turn->loss,
                                threads, 0, turn->eval, turn->e);
    else
        cnn_train_start_threads(threads);
    pthread_mutex_lock(&turn->mutex);
    turn->done = true;
    pthread_cond_signal(&turn->ended);
    pthread_mutex_unlock(&turn->mutex);
}

static bool wait_turn(struct turn *turn)
{
    pthread_mutex_init(&turn->mutex, NULL);
    pthread_cond_init(&turn->ended, NULL);
    bool taken = pool_submit(turn->evaluator->pool, take_turn, turn);
    pthread_mutex_lock(&turn->mutex);
    while (taken && !turn->done)
        pthread_cond_wait(&turn->ended, &turn->mutex);
    pthread_mutex_unlock(&turn->mutex);
    pthread_cond_destroy(&turn->ended);
    pthread_mutex_destroy(&turn->mutex);
    return taken;
}

struct evaluator *evaluator_new(int threads, struct err *e)
{
    struct evaluator *evaluator = calloc(1, sizeof *evaluator);
    if (!evaluator) {
        err_no_memory(e);
        return NULL;
    }
    evaluator->threads = threads;
    evaluator->pool = pool_new(1, LIMIT_WORK_QUEUE, e);
    if (!evaluator->pool) {
        free(evaluator);
        return NULL;
    }
    struct turn team = {.evaluator = evaluator, .e = e};
    wait_turn(&team);
    return evaluator;
}

void evaluator_free(struct evaluator *evaluator)
{
    if (!evaluator)
        return;
    pool_free(evaluator->pool);
    free(evaluator);
}

bool evaluator_run(struct evaluator *evaluator, const struct cnn_net *net,
                   const struct cnn_samples *samples, struct cnn_loss loss, struct cnn_eval *eval,
                   struct err *e)
{
    struct turn turn = {
        .evaluator = evaluator, .net = net, .samples = samples, .loss = loss, .eval = eval, .e = e};
    if (!wait_turn(&turn))
        return err_set(e, ERR_UNAVAILABLE, "too many evaluations wait");
    return turn.ok;
}
