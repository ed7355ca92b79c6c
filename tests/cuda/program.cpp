// A program that launches one kernel, all its blocks at the same time: see together.py. Compiled without the sanitizer.
//
// program INPUT OUTPUT. INPUT: blocks that run, blocks that the kernel is told of, threads of a block, order, number of
// arguments; for each of these its bytes and an array, or -1 and a number; and the argument that becomes the address of
// another one, and this other one. OUTPUT: the arrays, one after the other.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "running.h"

extern "C" const on_cpu::Kernel *const kernel; // beside its text

static long long number(FILE *file)
{
    long long n;
    if (fread(&n, sizeof n, 1, file) != 1)
        exit(2);
    return n;
}

int main(int, char **argv)
{
    FILE *in = fopen(argv[1], "rb");
    on_cpu::Launch how{};
    how.way = on_cpu::TOGETHER;
    how.running = unsigned(number(in));
    how.dims[0] = unsigned(number(in));
    how.dims[3] = unsigned(number(in));
    how.dims[1] = how.dims[2] = how.dims[4] = how.dims[5] = 1;
    how.order = number(in);
    const long long count = number(in);
    std::vector<long long> sizes(count), values(count);
    std::vector<void *> arguments(count);
    for (long long k = 0; k < count; k++) {
        sizes[k] = number(in);
        arguments[k] = &values[k];
        if (sizes[k] < 0) {
            values[k] = number(in);
        } else {
            values[k] = (long long)malloc(sizes[k]);
            if (fread((void *)values[k], 1, sizes[k], in) != (unsigned long)sizes[k])
                return 2;
        }
    }
    const long long pointer = number(in), to = number(in);
    if (pointer >= 0)
        *(long long *)values[pointer] = values[to];
    bool fits = kernel->count == count - (to == count - 1); // the last may only be pointed to
    for (int k = 0; fits && k < kernel->count; k++)
        fits = kernel->sizes[k] == sizeof(long long);
    if (!fits) {
        fprintf(stderr, "the kernel takes %d arguments of 8 bytes, and is given %lld\n", kernel->count, count);
        return 3;
    }
    if (const char *wrong = on_cpu::launch(*kernel, arguments.data(), how)) {
        fprintf(stderr, "%s\n", wrong);
        return 3;
    }
    FILE *out = fopen(argv[2], "wb");
    for (long long k = 0; k < count; k++)
        if (sizes[k] >= 0)
            fwrite((void *)values[k], 1, sizes[k], out);
    return fclose(out);
}
