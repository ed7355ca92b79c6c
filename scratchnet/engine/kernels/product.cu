// Products of matrices: what the kernels of batch.cu and gemm.cu share.

constexpr int TILE = 16, DEPTH = 32, THREADS = TILE * TILE;

// A matrix M to be multiplied: element (r, k) is data[r' * row + k' * column], with
// r' = order[r] or k' = order[k] where there is such an order.
struct Matrix {
    const REAL *data;
    long long rows, row, column;
    const long long *order_of_rows, *order_of_columns;
};

__device__ REAL element(const Matrix &M, long long r, long long k)
{
    const long long at_row = M.order_of_rows ? M.order_of_rows[r] : r;
    return M.data[at_row * M.row + (M.order_of_columns ? M.order_of_columns[k] : k) * M.column];
}

// Copy rows `first` on and columns k on to shared memory; outside the matrix there are
// zeros. Neighbouring threads read neighbouring memory.
__device__ void copy(const Matrix &M, long long first, long long k, long long length, REAL (*tile)[DEPTH + 1])
{
    for (int e = threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        const int r = M.column == 1 ? e / DEPTH : e % TILE, j = M.column == 1 ? e % DEPTH : e / TILE;
        tile[r][j] = first + r < M.rows && k + j < length ? element(M, first + r, k + j) : 0;
    }
}

// Element (*r, *c) of A B^T, or of it only the terms from column `from` to before `to`.
// A block computes TILE x TILE of them, number `tile` of the whole; what it reads, it
// reads once into shared memory, and TILE threads use it.
__device__ REAL product(const Matrix &A, const Matrix &B, long long tile, long long from, long long to, long long *r,
                        long long *c)
{
    __shared__ REAL a[TILE][DEPTH + 1];
    __shared__ REAL b[TILE][DEPTH + 1];
    const long long across = (B.rows + TILE - 1) / TILE;
    const long long first = tile / across * TILE, left = tile % across * TILE;
    const int i = threadIdx.x / TILE, j = threadIdx.x % TILE;
    REAL sum = 0;
    for (long long k = from; k < to; k += DEPTH) {
        copy(A, first, k, to, a);
        copy(B, left, k, to, b);
        __syncthreads();
        for (int d = 0; d < DEPTH; d++)
            sum += a[i][d] * b[j][d];
        __syncthreads();
    }
    *r = first + i;
    *c = left + j;
    return sum;
}
