// Pooling, forward and back, one kernel each. layers/pool.py says what is computed.
//
// Letters: H, W rows and columns of the image x (C, H, W, N), P, Q those of the output
// y (C, P, Q, N), N examples; along the rows and the columns the window has k taps, is
// moved by s cells, and the image has a padding of p. A thread computes one number of
// the result; neighbouring threads have neighbouring examples.

struct Cell {
    long long c, row, column, n; // of an array (C, rows, columns, N)
};

__device__ bool find(long long size, long long rows, long long columns, long long N, Cell *cell)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    *cell = {i / N / columns / rows, i / N / columns % rows, i / N % columns, i % N};
    return i < size;
}

__device__ long long place(long long c, long long row, long long column, long long n, long long rows,
                           long long columns, long long N)
{
    return ((c * rows + row) * columns + column) * N + n;
}

// The largest cell under the window, or with sign -1 the smallest, and the number of
// its tap: of equal cells the first, of several NaN the last.
extern "C" __global__ void choose(const REAL *x, long long size, long long H, long long W, long long P, long long Q,
                                  long long N, long long k_rows, long long s_rows, long long p_rows, long long k_cols,
                                  long long s_cols, long long p_cols, long long sign, REAL *y, unsigned char *code)
{
    Cell at;
    if (!find(size, P, Q, N, &at))
        return;
    REAL best = 0;
    int chosen = -1;
    for (long long i = 0; i < k_rows; i++)
        for (long long j = 0; j < k_cols; j++) {
            const long long h = at.row * s_rows + i - p_rows, w = at.column * s_cols + j - p_cols;
            if (h < 0 || h >= H || w < 0 || w >= W)
                continue;
            const REAL v = x[place(at.c, h, w, at.n, H, W, N)];
            if (chosen < 0 || sign * v > sign * best || v != v) {
                best = v;
                chosen = i * k_cols + j;
            }
        }
    const long long here = place(at.c, at.row, at.column, at.n, P, Q, N);
    y[here] = best;
    if (code)
        code[here] = chosen;
}

// The median of the cells under the window, of an even number the lower one, and the
// number of its first tap; where there is NaN, the first NaN. There is no padding.
// Each cell's place in the order is counted: the windows are small.
extern "C" __global__ void median(const REAL *x, long long size, long long H, long long W, long long P, long long Q,
                                  long long N, long long k_rows, long long s_rows, long long p_rows, long long k_cols,
                                  long long s_cols, long long p_cols, REAL *y, unsigned char *code)
{
    Cell at;
    if (!find(size, P, Q, N, &at))
        return;
    const long long row = at.row * s_rows - p_rows, column = at.column * s_cols - p_cols, taps = k_rows * k_cols;
    const REAL *window = x + place(at.c, row, column, at.n, H, W, N);
    REAL chosen = 0;
    long long number = -1;
    for (long long i = 0; i < taps; i++) {
        const REAL v = window[(i / k_cols * W + i % k_cols) * N];
        if (v != v) {
            chosen = v;
            number = i;
            break;
        }
        long long less = 0, equal = 0; // they stay so once the median is found: only NaN may follow
        for (long long j = 0; j < taps && number < 0; j++) {
            const REAL u = window[(j / k_cols * W + j % k_cols) * N];
            less += u < v;
            equal += u == v;
        }
        if (less <= (taps - 1) / 2 && (taps - 1) / 2 < less + equal) {
            chosen = v;
            number = i;
        }
    }
    const long long here = place(at.c, at.row, at.column, at.n, P, Q, N);
    y[here] = chosen;
    if (code)
        code[here] = number;
}

// The position of the window at which tap i meets a cell, or -1.
__device__ long long position(long long cell, long long i, long long s, long long p, long long positions)
{
    const long long start = cell + p - i;
    return start >= 0 && start % s == 0 && start / s < positions ? start / s : -1;
}

// Every cell of dx gets delta / cells from the windows that it is under, which have so
// many cells; where there are codes, it gets delta from those that chose it.
extern "C" __global__ void give_back(const REAL *delta, const unsigned char *code, long long size, long long H,
                                     long long W, long long P, long long Q, long long N, long long k_rows,
                                     long long s_rows, long long p_rows, long long k_cols, long long s_cols,
                                     long long p_cols, long long cells, REAL *dx)
{
    Cell at;
    if (!find(size, H, W, N, &at))
        return;
    REAL sum = 0;
    for (long long i = 0; i < k_rows; i++)
        for (long long j = 0; j < k_cols; j++) {
            const long long row = position(at.row, i, s_rows, p_rows, P);
            const long long column = position(at.column, j, s_cols, p_cols, Q);
            if (row < 0 || column < 0)
                continue;
            const long long there = place(at.c, row, column, at.n, P, Q, N);
            if (!code)
                sum += delta[there] * (REAL(1) / cells);
            else if (code[there] == i * k_cols + j)
                sum += delta[there];
        }
    dx[place(at.c, at.row, at.column, at.n, H, W, N)] = sum;
}

// The sum of the cells under the window, divided by their number; padding counts as 0.
extern "C" __global__ void average(const REAL *x, long long size, long long H, long long W, long long P, long long Q,
                                   long long N, long long k_rows, long long s_rows, long long p_rows, long long k_cols,
                                   long long s_cols, long long p_cols, long long cells, REAL *y)
{
    Cell at;
    if (!find(size, P, Q, N, &at))
        return;
    REAL sum = 0;
    for (long long i = 0; i < k_rows; i++)
        for (long long j = 0; j < k_cols; j++) {
            const long long h = at.row * s_rows + i - p_rows, w = at.column * s_cols + j - p_cols;
            if (h >= 0 && h < H && w >= 0 && w < W)
                sum += x[place(at.c, h, w, at.n, H, W, N)];
        }
    y[place(at.c, at.row, at.column, at.n, P, Q, N)] = sum * (REAL(1) / cells);
}
