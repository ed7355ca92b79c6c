// Products of matrices for steps that are recorded in graphs: there CuPy does not call
// cuBLAS. The text follows that of product.cu.
//
// Letters: A (m, k), B (k, n), C (m, n). Any strides will do, so any operand may be a
// transposed view. alpha and beta are numbers on the device; a null pointer is 1 for
// alpha and 0 for beta, which does not read C.

struct Out {
    REAL *data;
    long long row, column;
};

__device__ void write(const Out &C, long long r, long long c, REAL sum, const REAL *alpha, const REAL *beta)
{
    REAL *at = C.data + r * C.row + c * C.column;
    const REAL product = alpha ? *alpha * sum : sum;
    *at = beta ? product + *beta * *at : product;
}

// C = beta C + alpha A B. A block makes a tile of C, or the part of its sums with
// `terms` terms: parts (sums of parts, m, n) then gets these, in place of C.
extern "C" __global__ void __launch_bounds__(THREADS)
    multiply(const REAL *A, long long A_row, long long A_column, const REAL *B, long long B_row, long long B_column,
             REAL *C, long long C_row, long long C_column, long long m, long long n, long long k, long long terms,
             const REAL *alpha, const REAL *beta, REAL *parts)
{
    const long long tiles = (m + TILE - 1) / TILE * ((n + TILE - 1) / TILE), part = blockIdx.x / tiles;
    const long long from = part * terms, to = from + terms < k ? from + terms : k;
    const Matrix left = {A, m, A_row, A_column, nullptr, nullptr}, right = {B, n, B_column, B_row, nullptr, nullptr};
    long long r, c;
    const REAL sum = product(left, right, blockIdx.x % tiles, from, to, &r, &c);
    if (r >= m || c >= n)
        return;
    if (parts)
        parts[(part * m + r) * n + c] = sum;
    else
        write({C, C_row, C_column}, r, c, sum, alpha, beta);
}

// C = beta C + alpha times the sum of the parts, in their order. A thread for each
// element of C.
extern "C" __global__ void join(const REAL *parts, long long count, REAL *C, long long C_row, long long C_column,
                                long long m, long long n, const REAL *alpha, const REAL *beta)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= m * n)
        return;
    REAL sum = 0;
    for (long long part = 0; part < count; part++)
        sum += parts[part * m * n + i];
    write({C, C_row, C_column}, i / n, i % n, sum, alpha, beta);
}
