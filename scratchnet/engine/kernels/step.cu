// One training step on one example, for fully connected networks. backprop.py says in NumPy what it computes.
//
// Letters: I inputs and O outputs of a layer, W (O, I), b (O), a input (I), delta = dC/dz (O), K outputs of the network.
// All sizes are long long, all else are arrays; a bias that is not there is a null pointer.
// Threads come in blocks of whole warps. No atomics, so the same step gives the same bits.
//
// Many steps are recorded as one CUDA graph and replayed, so nothing of the moment may be an argument: the example of
// step number `*at + step` is read from `order`, its loss is written to that place of `*losses`, and `advance` moves
// `*at`.

// The sum of v over the threads of a block, or the largest; every thread gets it.
__device__ REAL over_block(REAL v, bool largest)
{
    __shared__ REAL of_warp[32];
    const int warps = blockDim.x / 32;
    v = over_warp(v, largest);
    __syncthreads(); // of_warp may still be read from the call before
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    v = of_warp[0];
    for (int w = 1; w < warps; w++)
        v = combine(v, of_warp[w], largest);
    return v;
}

// The input of a layer: of the first one an example, where it lies among the others; of the rest (order null) a.
__device__ const REAL *input(const REAL *a, const long long *order, const long long *at, long long step, long long I)
{
    return order ? a + order[*at + step] * I : a;
}

// out = activation(W a + b). A block for each row of W.
extern "C" __global__ void forward(const REAL *W, const REAL *b, const REAL *a, const long long *order,
                                   const long long *at, long long step, long long I, long long activation, REAL *out)
{
    const long long o = blockIdx.x;
    a = input(a, order, at, step, I);
    REAL z = 0;
    for (long long i = threadIdx.x; i < I; i += blockDim.x)
        z += W[o * I + i] * a[i];
    z = over_block(z, false);
    if (threadIdx.x == 0)
        out[o] = activate(b ? z + b[o] : z, activation);
}

// out = (W^T delta) * sigma'(z), from the layer's input a: BP2. A block for 8 columns of
// W, so that a matrix of 1000 columns occupies 125 multiprocessors. A warp reads four rows
// at once, each of them one piece of memory; the warps share the rows.
extern "C" __global__ void backward(const REAL *W, const REAL *delta, const REAL *a, long long I, long long O,
                                    long long activation, REAL *out)
{
    __shared__ REAL of_warp[32][8];
    const int column = threadIdx.x % 8, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const long long i = blockIdx.x * 8LL + column;
    REAL sum = 0;
    if (i < I)
        for (long long o = threadIdx.x / 8; o < O; o += blockDim.x / 8)
            sum += W[o * I + i] * delta[o];
    sum += __shfl_xor_sync(0xffffffff, sum, 8); // the four rows of a warp
    sum += __shfl_xor_sync(0xffffffff, sum, 16);
    if (threadIdx.x % 32 < 8)
        of_warp[warp][column] = sum;
    __syncthreads();
    if (threadIdx.x < 8 && i < I) {
        for (int w = 1; w < warps; w++)
            sum += of_warp[w][column];
        out[i] = times_sigma_prime(sum, a[i], activation);
    }
}

// W = W - lr delta a^T and b = b - lr delta: BP3, BP4 and gradient descent in one pass. A block for each row of W.
extern "C" __global__ void update(REAL *W, REAL *b, const REAL *delta, const REAL *a, const long long *order,
                                  const long long *at, long long step, long long I, const REAL *lr)
{
    const long long o = blockIdx.x;
    const REAL change = *lr * delta[o];
    a = input(a, order, at, step, I);
    for (long long i = threadIdx.x; i < I; i += blockDim.x)
        W[o * I + i] -= change * a[i];
    if (b && threadIdx.x == 0)
        b[o] -= change;
}

// C = scale * sum (y - t)^2 and delta = dC/dy * sigma'(z). One block.
extern "C" __global__ void squares(const REAL *y, const REAL *targets, const long long *order, const long long *at,
                                   long long step, long long K, const REAL *scale, long long activation, REAL *delta,
                                   REAL *const *losses)
{
    const REAL *t = targets + order[*at + step] * K;
    REAL sum = 0;
    for (long long k = threadIdx.x; k < K; k += blockDim.x) {
        const REAL d = y[k] - t[k];
        sum += d * d;
        delta[k] = times_sigma_prime(2 * *scale * d, y[k], activation);
    }
    sum = over_block(sum, false);
    if (threadIdx.x == 0)
        (*losses)[*at + step] = *scale * sum;
}

// C = -ln softmax(y)[label] and delta = (softmax(y) - onehot(label)) * sigma'(z). One block.
extern "C" __global__ void cross_entropy(const REAL *y, const long long *labels, const long long *order,
                                         const long long *at, long long step, long long K, long long activation,
                                         REAL *delta, REAL *const *losses)
{
    const long long label = labels[order[*at + step]];
    REAL top = y[0], total = 0;
    for (long long k = threadIdx.x; k < K; k += blockDim.x)
        top = combine(top, y[k], true);
    top = over_block(top, true); // no exponent overflows
    for (long long k = threadIdx.x; k < K; k += blockDim.x)
        total += exp(y[k] - top);
    total = over_block(total, false);
    for (long long k = threadIdx.x; k < K; k += blockDim.x)
        delta[k] = times_sigma_prime(exp(y[k] - top) / total - (k == label), y[k], activation);
    if (threadIdx.x == 0)
        (*losses)[*at + step] = log(total) - (y[label] - top);
}

// The next graph begins `steps` further on. One thread.
extern "C" __global__ void advance(long long *at, long long steps)
{
    *at += steps;
}
