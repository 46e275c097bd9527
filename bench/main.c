/* bench - times the core: the FMA peak, single layers, and (nets.c) whole nets. */
#include <string.h>

#include "kernels.h"
#include "layers.h"
#include "measure.h"
#include "peak.h"

static const char usage[] =
    "usage: bench KIND [NAME [THREADS]]   KIND: peak, layers\n"
    "       bench -                       the same, a request a line of standard input\n"
    "BENCH_SECONDS: the length of a measurement (.2); STRIDED_CPU: the instruction set\n";

static bool answer(const struct request *request)
{
    if (strcmp(request->kind, "peak") == 0) {
        for (int threads = 1; threads <= 2; threads++)
            if (request_wants(request, cnn_kernels()->name, threads))
                measure_print("strided", threads, "peak", cnn_kernels()->name, "gflops",
                              peak_gflops(threads));
    } else if (strcmp(request->kind, "layers") == 0) {
        layers_measure(request);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    return requests_serve(argc, argv, usage, answer);
}
