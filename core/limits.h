/* limits.h - every bound of strided, in one place, with its reason. A request past one of these
 * gets a 4xx or 503 that names the bound. */
#ifndef STRIDED_LIMITS_H
#define STRIDED_LIMITS_H

/* Shapes and nets. */
enum {
    CNN_DIM_MAX = 1 << 20,      /* one axis, channels, units or flattened features */
    CNN_ELEMENTS_MAX = 1 << 28, /* elements of one feature map of one sample */
    CNN_PARAMS_MAX = 1 << 28,   /* parameters of a net; vgg16 has 138 million */
    CNN_LAYERS_MAX = 512,       /* nodes of a net */
    CNN_INPUTS_MAX = 8,         /* inputs of an add or a concat */
    CNN_NAME_MAX = 64,          /* bytes of a layer's name with its NUL */
    CNN_KERNEL_MAX = 1024,      /* kernel, stride, dilation, padding along one axis */
    CNN_CLASSES_MAX = 1024,     /* a confusion matrix has the square of it */
};

/* Training. */
enum {
    CNN_EPOCHS_MAX = 100000,
    CNN_BATCH_MAX = 16384,
    CNN_THREADS_MAX = 256,
    CNN_SAMPLES_MAX = 1 << 26,      /* samples of one split */
    CNN_FAILURES_MAX = 1000,        /* misclassified samples kept of one evaluation */
    CNN_CELL_SAMPLES_MAX = 1 << 18, /* an evaluation of more keeps no samples behind its cells */
    CNN_CLASS_WEIGHT_MAX = 1000000,
    CNN_ZOOM_MAX = 10,   /* augmentation: size, and its inverse */
    CNN_NOISE_MAX = 100, /* augmentation: deviation */
    CNN_TURNS_MAX = 360, /* augmentation: turns about z to choose from */
};

/* Meshes and voxels. */
enum {
    LIMIT_MESH_VERTICES = 1 << 22,   /* of one OFF, STL or OBJ; STL has 3 a triangle */
    LIMIT_MESH_TRIANGLES = 1 << 22,  /* polygons count as their fans */
    CNN_VOXEL_SAMPLES_MAX = 1 << 20, /* points drawn on one mesh; 2048 are usual */
};

/* HTTP and JSON. */
enum {
    LIMIT_JSON_DEPTH = 64,
    LIMIT_JSON_VALUES = 1 << 18,     /* of one document's tree; number arrays have none */
    LIMIT_JSON_BODY_BYTES = 1 << 20, /* documents that are not tensors */
    LIMIT_PREDICT_BODY_BYTES = 64 << 20,
    LIMIT_DATASET_BODY_BYTES = 1 << 30,
    LIMIT_BODY_MEMORY_BYTES = 1 << 20,     /* a body past this waits in an unlinked file */
    LIMIT_REFUSED_BODY_BYTES = 64 << 20,   /* thrown away so that the client reads its answer */
    LIMIT_PREDICT_SAMPLES = 4096,          /* samples of one predict request */
    LIMIT_PREDICT_BATCH_BYTES = 256 << 20, /* of them decoded to floats: small pictures grow */
    LIMIT_PREDICT_POINTS = 1 << 24,        /* of one request's lists and surfaces: 1 s */
    LIMIT_BATCHER_BYTES = 1 << 30,         /* of samples decoded to floats that wait, in all */
    LIMIT_PREDICT_PIXELS = 1 << 28,        /* of one request's pictures, decoded: some seconds */
    LIMIT_IMAGE_PIXELS = 1 << 24,          /* of a decoded PNG or JPEG; 4096 x 4096 */
    LIMIT_MULTIPART_PARTS = 4096,
    LIMIT_MULTIPART_HEADER_BYTES = 4096,
    LIMIT_NAME_BYTES = 64, /* a model's or dataset's name */
    LIMIT_LABEL_BYTES = 128,
    LIMIT_QUERY_BYTES = 8192,
    LIMIT_CONNECTIONS_REFUSED = 256,         /* that are just being told there are too many */
    LIMIT_CONNECTION_MEMORY_BYTES = 1 << 15, /* of a head; cleared for every request, so small */
    LIMIT_WORK_QUEUE = 256,                  /* requests that wait for the work pool */
    LIMIT_LOAD_WAITERS = 256,                /* requests that wait for one model to be loaded */
    LIMIT_MODEL_FILE_BYTES = 1 << 30,
    LIMIT_GENERATED_SAMPLES = 1000000,
    LIMIT_JOBS_QUEUED = 1000000,  /* what --jobs-queued-max can be */
    LIMIT_JOBS_PARALLEL = 64,     /* what --jobs-parallel can be */
    LIMIT_JOB_PRIORITY = 100,     /* either way from 0 */
    LIMIT_JOB_INTERRUPTIONS = 10, /* deaths of the daemon beside a job without progress */
    LIMIT_JOBS_LISTED = 10000,    /* of one reply; a row is 1 KiB */
    LIMIT_JOBS_COMPARED = 16,
    LIMIT_CURVE_EPOCHS = 1000,        /* of each job compared */
    LIMIT_JOBS_LISTED_FULL = 100,     /* with their requests; one may be 1 MiB */
    LIMIT_LOSS_POINTS = 1000,         /* batch points in one /loss reply */
    LIMIT_JOB_CELL_SAMPLES = 1 << 22, /* behind the cells of a job's epochs; 16 MiB */
    LIMIT_WATCHES = 512,              /* clients that watch jobs; half of the connections */
    LIMIT_WAIT_S = 3600,              /* of one long poll */
    LIMIT_TOOL_ELEMENTS = 1 << 16,
};

/* Archives of samples. ModelNet10's zip has 5000 files and decodes to 2200 MiB. */
enum {
    LIMIT_ARCHIVE_ENTRIES = 1 << 18, /* files, folders, links */
    LIMIT_ARCHIVE_PATH_BYTES = 512,
    LIMIT_ARCHIVE_FILE_BYTES = 64 << 20, /* of one file, decoded */
    LIMIT_ARCHIVE_DECODED_MIB = 4096,
    LIMIT_ARCHIVE_RATIO = 200,           /* decoded to compressed; voxel grids reach 500, so ... */
    LIMIT_ARCHIVE_RATIO_FLOOR_MIB = 512, /* ... less than this decoded is read at any ratio */
};

/* Datasets made of uploads. */
enum {
    LIMIT_DATASET_MIB = 8192,       /* one version's file */
    LIMIT_IMPORT_MPIXELS = 1 << 14, /* pictures of one archive, decoded: minutes */
    LIMIT_IMPORT_SIDE = 4096,       /* ?size=, either way */
    LIMIT_IMPORT_SIDE_CHOSEN = 256, /* the longer side where no ?size= is given */
    LIMIT_IMPORT_GRID = 128,        /* ?grid= */
    LIMIT_IMPORT_POINTS = 1 << 16,  /* ?points=, drawn on each mesh */
    LIMIT_SKIPPED_LISTED = 100,     /* files named in a reply that could not be read */
    LIMIT_UPLOADS_LISTED = 64,      /* in flight, of one reply */
    LIMIT_SAMPLE_NUMBERS = 1 << 22, /* of one sample as JSON */
    LIMIT_SAMPLES_LISTED = 1000,    /* of one reply */
};

#endif
