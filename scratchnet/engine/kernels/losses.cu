// The cross entropy of a batch and its derivative, in one kernel. It is what
// `CrossEntropyLoss.forward` in losses.py computes.
//
// Letters: K classes, N examples; z and delta (K, N) have the examples last.

// C = -mean of ln softmax(z)[label] and delta = (softmax(z) - onehot(label)) / N. One
// block, with a thread for each example in turn.
extern "C" __global__ void __launch_bounds__(256, 1)
    cross_entropy(const REAL *z, const long long *labels, long long K, long long N, REAL *delta, REAL *loss)
{
    __shared__ REAL of_warp[32];
    const REAL mean = REAL(1) / N;
    REAL sum = 0;
    for (long long n = threadIdx.x; n < N; n += blockDim.x) {
        REAL top = z[n], total = 0;
        for (long long k = 1; k < K; k++)
            top = combine(top, z[k * N + n], true); // no exponent overflows
        for (long long k = 0; k < K; k++)
            total += delta[k * N + n] = exp(z[k * N + n] - top);
        const long long label = labels[n]; // `fit` has checked it; who has not gets NaN
        for (long long k = 0; k < K; k++) // rounded as in losses.py, so that the two cancel exactly in sums
            delta[k * N + n] = delta[k * N + n] / (total / mean) - (k == label ? mean : 0);
        sum += label < 0 || label >= K ? log(REAL(-1)) : log(total) - (z[label * N + n] - top);
    }
    sum = over_warp(sum, false);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < (int)blockDim.x / 32; w++)
            sum += of_warp[w];
        *loss = sum * mean;
    }
}
