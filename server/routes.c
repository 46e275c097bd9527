/* routes.c - every route of the daemon. A literal path stands before a pattern that matches it. */
#include "api.h"
#include "limits.h"
#include "router.h"

const struct route routes[] = {
    {"GET", "/", api_index, 0, false},
    {"GET", "/health/live", api_health_live, 0, false},
    {"GET", "/health/ready", api_health_ready, 0, false},
    {"GET", "/version", api_version, 0, false},
    {"GET", "/storage", api_storage, 0, true},
    {"GET", "/openapi.json", api_openapi, 0, false},
    {"GET", "/metrics", api_metrics, 0, true},

    {"POST", "/predict", api_predict, LIMIT_PREDICT_BODY_BYTES, false},
    {"POST", "/models/{model}/predict", api_predict, LIMIT_PREDICT_BODY_BYTES, false},
    {"POST", "/models/{model}/versions/{version}/predict", api_predict, LIMIT_PREDICT_BODY_BYTES,
     false},

    {"GET", "/models", api_models_list, 0, false},
    {"GET", "/models/{model}", api_models_get, 0, false},
    {"PUT", "/models/{model}", api_models_put, LIMIT_MODEL_FILE_BYTES, true},
    {"DELETE", "/models/{model}", api_models_delete, 0, true},
    {"DELETE", "/models/{model}/versions/{version}", api_models_delete, 0, true},
    {"GET", "/models/{model}/summary", api_models_summary, 0, true},
    {"GET", "/models/{model}/onnx", api_models_onnx, 0, false},
    {"GET", "/models/{model}/versions/{version}/onnx", api_models_onnx, 0, false},
    {"POST", "/models/{model}/versions/{version}/activate", api_models_activate,
     LIMIT_JSON_BODY_BYTES, true},
    {"POST", "/models/{model}/evaluate", api_models_evaluate, LIMIT_JSON_BODY_BYTES, true},

    {"GET", "/architectures", api_architectures, 0, true},
    {"POST", "/summary", api_summary, LIMIT_JSON_BODY_BYTES, true},

    {"GET", "/datasets", api_datasets_list, 0, false},
    {"GET", "/datasets/{dataset}", api_datasets_get, 0, false},
    {"PUT", "/datasets/{dataset}", api_datasets_put, LIMIT_DATASET_BODY_BYTES, true},
    {"DELETE", "/datasets/{dataset}", api_datasets_delete, 0, true},
    {"GET", "/datasets/{dataset}/samples", api_samples_list, 0, true},
    {"POST", "/datasets/{dataset}/samples", api_samples_post, LIMIT_PREDICT_BODY_BYTES, true},
    {"GET", "/datasets/{dataset}/samples/{split}/{index}", api_samples_get, 0, true},

    {"GET", "/jobs", api_jobs_list, 0, true},
    {"POST", "/jobs", api_jobs_post, LIMIT_JSON_BODY_BYTES, true},
    {"GET", "/jobs/compare", api_jobs_compare, 0, true},
    {"GET", "/jobs/{id}", api_jobs_get, 0, false},
    {"DELETE", "/jobs/{id}", api_jobs_delete, 0, false},
    {"GET", "/jobs/{id}/events", api_jobs_events, 0, false},
    {"GET", "/jobs/{id}/loss", api_jobs_loss, 0, false},
    {"GET", "/jobs/{id}/confusion", api_jobs_confusion, 0, false},
    {"GET", "/jobs/{id}/confusion/samples", api_jobs_confusion_samples, 0, false},
    {"GET", "/jobs/{id}/failures", api_jobs_failures, 0, true},
    /* Not on the work pool: a cancel must not wait behind predictions. Its body is ignored, for
     * clients that always send one. */
    {"POST", "/jobs/{id}/cancel", api_jobs_cancel, LIMIT_JSON_BODY_BYTES, false},
    {"POST", "/jobs/{id}/resume", api_jobs_resume, LIMIT_JSON_BODY_BYTES, false},

    /* The Open Inference Protocol. */
    {"GET", "/v2", api_v2_server, 0, false},
    {"GET", "/v2/health/live", api_v2_live, 0, false},
    {"GET", "/v2/health/ready", api_v2_ready, 0, false},
    {"GET", "/v2/models", api_v2_list, 0, false},
    {"GET", "/v2/models/stats", api_v2_stats, 0, false},
    {"GET", "/v2/models/{model}", api_v2_model, 0, true},
    {"GET", "/v2/models/{model}/ready", api_v2_model_ready, 0, false},
    {"GET", "/v2/models/{model}/config", api_v2_model_config, 0, true},
    {"GET", "/v2/models/{model}/stats", api_v2_model_stats, 0, false},
    {"POST", "/v2/models/{model}/infer", api_v2_infer, LIMIT_PREDICT_BODY_BYTES, false},
    {"GET", "/v2/models/{model}/versions/{version}", api_v2_model, 0, true},
    {"GET", "/v2/models/{model}/versions/{version}/ready", api_v2_model_ready, 0, false},
    {"GET", "/v2/models/{model}/versions/{version}/config", api_v2_model_config, 0, true},
    {"GET", "/v2/models/{model}/versions/{version}/stats", api_v2_model_stats, 0, false},
    {"POST", "/v2/models/{model}/versions/{version}/infer", api_v2_infer, LIMIT_PREDICT_BODY_BYTES,
     false},
    {"POST", "/v2/repository/index", api_v2_index, LIMIT_JSON_BODY_BYTES, false},
    {"POST", "/v2/repository/models/{model}/load", api_v2_load, LIMIT_JSON_BODY_BYTES, true},
    {"POST", "/v2/repository/models/{model}/unload", api_v2_unload, LIMIT_JSON_BODY_BYTES, true},
    {NULL, NULL, NULL, 0, false},
};
