/* Feeds files to a fuzz target once, without libFuzzer: the kept corpus, or an input that failed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* For targets that mutate; here nobody asks them to. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max)
{
    (void)bytes, (void)size_max;
    return size;
}

/* The file in memory of just its size, so that a sanitizer sees each byte past it. */
static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        return NULL;
    long end = ftell(file);
    rewind(file);
    *size = end > 0 ? (size_t)end : 0;
    uint8_t *bytes = malloc(*size ? *size : 1);
    if (bytes && fread(bytes, 1, *size, file) != *size) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t size;
        uint8_t *bytes = read_file(argv[i], &size);
        if (!bytes) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        printf("%s\n", argv[i]); /* the last one named is the one that failed */
        fflush(stdout);
        LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
    }
    return EXIT_SUCCESS;
}
