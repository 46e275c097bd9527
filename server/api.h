/* api.h - the handlers behind routes.c, one api_*.c a resource. Contract: docs and openapi.yaml. */
#ifndef STRIDED_API_H
#define STRIDED_API_H

#include "app.h"
#include "http.h"

/* api_health.c */
http_handler api_health_live, api_health_ready, api_version, api_openapi, api_index;
/* api_metrics.c */
http_handler api_metrics;
/* api_storage.c */
http_handler api_storage;
/* api_datasets.c */
http_handler api_datasets_list, api_datasets_get, api_datasets_delete;
/* api_upload.c */
http_handler api_datasets_put, api_samples_post;
/* api_samples.c */
http_handler api_samples_list, api_samples_get;
/* api_jobs.c */
http_handler api_jobs_post, api_jobs_get, api_jobs_cancel, api_jobs_resume, api_jobs_delete;
/* api_jobs_list.c */
http_handler api_jobs_list;
/* api_jobs_compare.c */
http_handler api_jobs_compare;
/* api_reports.c */
http_handler api_jobs_loss, api_jobs_confusion, api_jobs_confusion_samples;
/* api_failures.c */
http_handler api_jobs_failures;
/* api_events.c */
http_handler api_jobs_events;
/* api_models.c */
http_handler api_models_list, api_models_get, api_models_onnx, api_models_delete, api_models_put,
    api_models_activate;
/* api_summary.c */
http_handler api_models_summary, api_summary, api_architectures;
/* api_evaluate.c */
http_handler api_models_evaluate;
/* api_predict.c */
http_handler api_predict;
/* api_v2.c */
http_handler api_v2_server, api_v2_live, api_v2_ready;
/* api_v2_models.c */
http_handler api_v2_list, api_v2_model, api_v2_model_ready, api_v2_model_config, api_v2_model_stats,
    api_v2_stats;
/* api_v2_infer.c */
http_handler api_v2_infer;
/* api_v2_repository.c */
http_handler api_v2_index, api_v2_load, api_v2_unload;

#endif
