/* app.h - what every handler reaches: the daemon's parts, made by main.c before HTTP starts. */
#ifndef STRIDED_APP_H
#define STRIDED_APP_H

#include <stdatomic.h>

#include "batcher.h"
#include "config.h"
#include "evaluator.h"
#include "events.h"
#include "jobs.h"
#include "pool.h"
#include "registry.h"
#include "store.h"

struct app {
    struct config config;
    int port;
    struct store *store;
    struct registry *registry;
    struct events *events;
    struct batcher *batcher;
    struct evaluator *evaluator;
    struct pool *codec; /* large bodies of predictions, in and out */
    struct jobs *jobs;
    atomic_bool ready; /* false while loading and draining: /health/ready answers 503 */
    atomic_bool draining;
};

#endif
