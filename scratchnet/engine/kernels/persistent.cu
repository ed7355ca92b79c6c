// Thousands of steps in one launch, for networks I-H-K of two layers. What it computes
// is said in NumPy by persistent.py.
//
// The weights stay in registers from the first step to the last. A block owns some of
// the hidden units: their rows of W1 and their columns of W2. All that the blocks have
// to tell each other in a step are K numbers each: what their units contribute to the
// outputs. From the sum of these, every block computes the loss and delta of the
// outputs by itself, and changes its own weights.
//
// Within a block, a warp owns ROWS units. Lane l of its 32 threads holds columns l,
// l + 32, ... of their rows of W1, and their weights to output l: so K is at most 32.
//
// The compiler is told INPUTS (I), OUTPUTS (K), ROWS, WARPS, and the activations HIDDEN
// and OUTPUT. All blocks must run at the same time, as in a cooperative launch.

constexpr int I = INPUTS, K = OUTPUTS, COLUMNS = (I + 31) / 32, THREADS = 32 * WARPS;

struct Shared {
    REAL example[32 * COLUMNS];
    REAL of_warp[WARPS][32]; // what each warp's units contribute to the outputs
    REAL of_blocks[WARPS][32]; // what the blocks contribute; a warp adds up its share of them
};

// A block releases a number in memory after it has written its contributions; whoever
// acquires that number then sees them.
#ifdef __CUDACC__
__device__ void release(long long *p, long long n)
{
    asm volatile("st.release.gpu.s64 [%0], %1;" ::"l"(p), "l"(n) : "memory");
}

__device__ long long acquire(const long long *p)
{
    long long n;
    asm volatile("ld.acquire.gpu.s64 %0, [%1];" : "=l"(n) : "l"(p) : "memory");
    return n;
}
#else // a CPU, where tests run this text
__device__ void release(long long *p, long long n) { __atomic_store_n(p, n, __ATOMIC_RELEASE); }
__device__ long long acquire(const long long *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
#endif

// Wait until a block has published step `number`; false if that takes too long.
__device__ bool wait(const long long *published, long long number, long long patience)
{
    for (long long polls = 0; acquire(published) < number; polls++) {
        if (polls >= patience)
            return false;
        __nanosleep(20);
    }
    return true;
}

// The loss, in every lane, and delta of output `lane`: BP1.
__device__ REAL squares(REAL y, REAL t, REAL scale, REAL *delta)
{
    const int lane = threadIdx.x % 32;
    const REAL d = lane < K ? y - t : 0;
    *delta = times_sigma_prime(2 * scale * d, y, OUTPUT);
    return scale * over_warp(d * d, false);
}

__device__ REAL cross_entropy(REAL y, long long label, REAL *delta)
{
    const int lane = threadIdx.x % 32;
    const REAL first = __shfl_sync(0xffffffff, y, 0);
    const REAL top = over_warp(lane < K ? y : first, true); // no exponent overflows
    const REAL e = lane < K ? exp(y - top) : 0, total = over_warp(e, false);
    *delta = lane < K ? times_sigma_prime(e / total - (lane == label), y, OUTPUT) : 0;
    return log(total) - (__shfl_sync(0xffffffff, y, label) - top);
}

// Make steps number *at and following, and move *at on. `contributions` (2, blocks, 32)
// and `published` (blocks) are for the exchange; `made` steps have used them before. If
// a block waits in vain, *late becomes 1, W and b are unspecified, and all blocks end.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    persistent(REAL *W1, REAL *b1, REAL *W2, REAL *b2, const REAL *x, const REAL *values, const long long *labels,
               const long long *order, long long *at, long long steps, long long H, const REAL *lr, const REAL *scale,
               REAL *const *losses, REAL *contributions, long long *published, long long made, long long patience,
               long long *late)
{
    __shared__ Shared shared;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = gridDim.x;
    const long long first = (blockIdx.x * (long long)WARPS + warp) * ROWS, begin = *at; // the warp's first unit
    const REAL rate = *lr, factor = labels ? 0 : *scale;
    REAL *of_steps = *losses;

    REAL w[ROWS][COLUMNS], b[ROWS], v[ROWS], bias = b2 && lane < K ? b2[lane] : 0;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const long long h = first + r;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            w[r][c] = h < H && lane + 32 * c < I ? W1[h * I + lane + 32 * c] : 0;
        b[r] = b1 && h < H ? b1[h] : 0;
        v[r] = h < H && lane < K ? W2[lane * H + h] : 0;
    }
    for (int i = threadIdx.x; i < 32 * COLUMNS; i += THREADS)
        shared.example[i] = i < I ? x[order[begin] * I + i] : 0;
    __syncthreads();

    for (long long s = 0; s < steps; s++) {
        // The target and the next example are fetched early: they arrive while the
        // blocks wait for each other.
        const long long example = order[begin + s], next = order[begin + (s + 1 < steps ? s + 1 : s)];
        const long long label = labels ? labels[example] : 0;
        const REAL t = values && lane < K ? values[example * K + lane] : 0;
        REAL coming[(I + THREADS - 1) / THREADS];
#pragma unroll
        for (int e = 0; e * THREADS < I; e++)
            coming[e] = threadIdx.x + e * THREADS < I ? x[next * I + threadIdx.x + e * THREADS] : 0;

        // forward: the activations of the warp's units, what they contribute to output
        // `lane`
        REAL a[COLUMNS], h[ROWS], z = 0;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            a[c] = shared.example[lane + 32 * c];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            REAL sum = 0;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++)
                sum += w[r][c] * a[c];
            h[r] = first + r < H ? activate(over_warp(sum, false) + b[r], HIDDEN) : 0; // the last warps own fewer
            z += v[r] * h[r];
        }
        shared.of_warp[warp][lane] = z;
        __syncthreads();

        // The exchange. There is room for two steps, and no block is more than one
        // ahead of another: to publish a step it needs what all have published of the
        // step before.
        REAL *here = contributions + (s + made) % 2 * blocks * 32;
        if (warp == 0) {
            z = 0;
            for (int q = 0; q < WARPS; q++)
                z += shared.of_warp[q][lane];
            here[blockIdx.x * 32 + lane] = z;
            __syncwarp();
            if (lane == 0)
                release(published + blockIdx.x, made + s + 1);
        }
        bool all = true;
        for (int other = warp + WARPS * lane; other < blocks; other += 32 * WARPS)
            all = wait(published + other, made + s + 1, patience) && all;
        __syncwarp();
        z = 0;
        for (int other = warp; other < blocks; other += WARPS)
            z += here[other * 32 + lane];
        shared.of_blocks[warp][lane] = z;
#pragma unroll
        for (int e = 0; e * THREADS < I; e++)
            if (threadIdx.x + e * THREADS < I)
                shared.example[threadIdx.x + e * THREADS] = coming[e];
        if (__syncthreads_or(!all)) {
            release(late, 1);
            return;
        }

        // the outputs, the loss and delta
        z = bias;
        for (int q = 0; q < WARPS; q++)
            z += shared.of_blocks[q][lane];
        REAL delta;
        const REAL y = activate(z, OUTPUT);
        const REAL loss = labels ? cross_entropy(y, label, &delta) : squares(y, t, factor, &delta);
        if (blockIdx.x == 0 && threadIdx.x == 0)
            of_steps[begin + s] = loss;

        // back, and gradient descent: BP2 to BP4
        if (b2)
            bias -= rate * delta;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const REAL change = rate * times_sigma_prime(over_warp(v[r] * delta, false), h[r], HIDDEN);
            v[r] -= rate * delta * h[r];
            if (b1)
                b[r] -= change;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++)
                w[r][c] -= change * a[c];
        }
    }

#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const long long h = first + r;
        if (h >= H)
            break;
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            if (lane + 32 * c < I)
                W1[h * I + lane + 32 * c] = w[r][c];
        if (b1 && lane == 0)
            b1[h] = b[r];
        if (lane < K)
            W2[lane * H + h] = v[r];
    }
    if (blockIdx.x == 0 && warp == 0) {
        if (b2 && lane < K)
            b2[lane] = bias;
        if (lane == 0)
            *at = begin + steps;
    }
}
