/* bench - times the core: the FMA peak, single layers, whole nets. */
#include <string.h>

#include "kernels.h"
#include "layers.h"
#include "measure.h"
#include "nets.h"
#include "peak.h"

static const char usage[] =
    "usage: bench KIND [NAME [THREADS]]   KIND: peak, layers, train, infer, memory\n"
    "       bench -                       the same, a request a line of standard input\n"
    "BENCH_SECONDS: the length of a measurement (.2); STRIDED_CPU: the instruction set\n";

static void peak_measure(const struct request *request)
{
    for (int threads = 1; threads <= 2; threads++)
        if (request_wants(request, cnn_kernels()->name, threads))
            measure_print("strided", threads, "peak", cnn_kernels()->name, "gflops",
                          peak_gflops(threads));
}

static bool answer(const struct request *request)
{
    static const struct {
        const char *kind;
        void (*measure)(const struct request *request);
    } kinds[] = {{"peak", peak_measure},
                 {"layers", layers_measure},
                 {"train", nets_train},
                 {"infer", nets_infer},
                 {"memory", nets_memory}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(request->kind, kinds[i].kind) == 0) {
            kinds[i].measure(request);
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    return requests_serve(argc, argv, usage, answer);
}
