// One training step on a batch, for fully connected networks: steps.step in products of
// matrices, each with what follows it in the same kernel.
//
// Letters: N examples, I inputs and O outputs of a layer; W (O, I), b (O); a (N, I) and
// delta (N, O), an example in each row; K outputs of the network. Sizes are long long,
// all else are arrays; what is not there is a null pointer. No atomics, so the same
// step gives the same bits.
//
// As in step.cu, nothing of the moment is an argument: step number *at + `step` of the
// epoch takes its examples from `order`, which is cut into parts of `batch`. The text
// follows those of product.cu and rates.cu.

constexpr int WHOLE_BLOCK = 512; // threads; with more, a block of doubles would need more registers than there are

__device__ const long long *examples(const long long *order, const long long *at, long long step, long long batch)
{
    return order ? order + (*at + step) * batch : nullptr;
}

// out = activation(a W^T + b)
extern "C" __global__ void __launch_bounds__(THREADS)
    forward(const REAL *W, const REAL *b, const REAL *a, const long long *order, const long long *at, long long step,
            long long batch, long long N, long long I, long long O, long long activation, REAL *out)
{
    long long n, o;
    const Matrix A = {a, N, I, 1, examples(order, at, step, batch), nullptr};
    const REAL z = product(A, {W, O, I, 1, nullptr, nullptr}, blockIdx.x, 0, I, &n, &o);
    if (n < N && o < O)
        out[n * O + o] = activate(b ? z + b[o] : z, activation);
}

// out = (delta W) * sigma'(z), from the layer's input a: BP2
extern "C" __global__ void __launch_bounds__(THREADS)
    backward(const REAL *W, const REAL *delta, const REAL *a, long long N, long long I, long long O, long long
             activation, REAL *out)
{
    long long n, i;
    const Matrix D = {delta, N, O, 1, nullptr, nullptr};
    const REAL grad = product(D, {W, I, 1, I, nullptr, nullptr}, blockIdx.x, 0, O, &n, &i);
    if (n < N && i < I)
        out[n * I + i] = times_sigma_prime(grad, a[n * I + i], activation);
}

// The change of one weight w by its gradient g. settings: lr, beta1, beta2 and eps, as
// `rates` writes them; momentum is beta2.
__device__ void descend(REAL g, REAL *w, REAL *m, REAL *v, long long rule, const REAL *settings)
{
    if (rule == PLAIN) {
        *w -= settings[0] * g;
    } else if (rule == MOMENTUM) {
        *v = settings[2] * *v + g;
        *w -= settings[0] * *v;
    } else {
        *m = settings[1] * *m + g;
        *v = settings[2] * *v + g * g;
        *w -= settings[0] * *m / (sqrt(*v) + settings[3]);
    }
}

// W and b change by delta^T a and the sum of delta: BP3 and BP4. mW, vW, mb and vb are
// the optimiser's sums, and `settings` (steps of a graph, 4) has a row for each step.
extern "C" __global__ void __launch_bounds__(THREADS)
    update(REAL *W, REAL *b, const REAL *delta, const REAL *a, const long long *order, const long long *at, long long
           step, long long batch, long long N, long long I, long long O, long long rule, const REAL *settings, REAL
           *mW, REAL *vW, REAL *mb, REAL *vb)
{
    long long o, i;
    const Matrix A = {a, I, 1, I, nullptr, examples(order, at, step, batch)};
    const REAL g = product({delta, O, 1, O, nullptr, nullptr}, A, blockIdx.x, 0, N, &o, &i);
    settings += SETTINGS * step;
    if (o < O && i < I)
        descend(g, W + o * I + i, mW + o * I + i, vW + o * I + i, rule, settings);
    if (b && o < O && i == 0) {
        REAL sum = 0;
        for (long long n = 0; n < N; n++)
            sum += delta[n * O + o];
        descend(sum, b + o, mb + o, vb + o, rule, settings);
    }
}

// The sum of v over the block's warps, whose threads have the same v.
__device__ REAL over_warps(REAL v)
{
    __shared__ REAL of_warp[32];
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    REAL sum = 0;
    for (int w = 0; w < (int)blockDim.x / 32; w++)
        sum += of_warp[w];
    return sum;
}

// C = scale * sum (y - t)^2, divided by N if it `averages`, and delta = dC/dz: BP1. One
// block, with a warp for each example in turn.
extern "C" __global__ void __launch_bounds__(WHOLE_BLOCK, 1)
    squares(const REAL *y, const REAL *targets, const long long *order, const long long *at, long long step, long long
            batch, long long N, long long K, const REAL *scale, long long averages, long long activation, REAL *delta,
            REAL *const *losses)
{
    const int lane = threadIdx.x % 32;
    const long long *row = examples(order, at, step, batch);
    const REAL factor = averages ? *scale / N : *scale;
    REAL sum = 0;
    for (long long n = threadIdx.x / 32; n < N; n += blockDim.x / 32)
        for (long long k = lane; k < K; k += 32) {
            const REAL d = y[n * K + k] - targets[row[n] * K + k];
            sum += d * d;
            delta[n * K + k] = times_sigma_prime(2 * factor * d, y[n * K + k], activation);
        }
    sum = over_warps(over_warp(sum, false));
    if (threadIdx.x == 0)
        (*losses)[*at + step] = factor * sum;
}

// C = -mean of ln softmax(y)[label] and delta = (softmax(y) - onehot(label)) / N, times
// sigma'(z).
extern "C" __global__ void __launch_bounds__(WHOLE_BLOCK, 1)
    cross_entropy(const REAL *y, const long long *labels, const long long *order, const long long *at, long long step,
                  long long batch, long long N, long long K, long long activation, REAL *delta, REAL *const *losses)
{
    const int lane = threadIdx.x % 32;
    const long long *row = examples(order, at, step, batch);
    const REAL mean = REAL(1) / N;
    REAL sum = 0;
    for (long long n = threadIdx.x / 32; n < N; n += blockDim.x / 32) {
        const REAL *z = y + n * K;
        const long long label = labels[row[n]];
        REAL top = z[0], total = 0;
        for (long long k = lane; k < K; k += 32)
            top = combine(top, z[k], true);
        top = over_warp(top, true); // no exponent overflows
        for (long long k = lane; k < K; k += 32)
            total += exp(z[k] - top);
        total = over_warp(total, false);
        for (long long k = lane; k < K; k += 32) {
            const REAL grad = exp(z[k] - top) / (total / mean) - (k == label ? mean : 0); // rounded as in losses.py
            delta[n * K + k] = times_sigma_prime(grad, z[k], activation);
        }
        sum += log(total) - (z[label] - top);
    }
    sum = over_warps(sum);
    if (threadIdx.x == 0)
        (*losses)[*at + step] = sum / N;
}
