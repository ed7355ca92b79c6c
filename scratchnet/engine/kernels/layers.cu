// What a recorded step of layers does besides the layers: it takes the examples whose
// turn it is, and keeps its loss. The text follows that of rates.cu.
//
// As in step.cu, nothing of the moment is an argument: the step is number *at + `step`
// of the epoch.

// The numbers of the N examples of the step, from `order`, which is cut into parts of
// `batch`. A thread for each.
extern "C" __global__ void take(const long long *order, const long long *at, long long step, long long batch,
                                long long N, long long *chosen)
{
    const long long n = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (n < N)
        chosen[n] = order[(*at + step) * batch + n];
}

// One thread.
extern "C" __global__ void keep(const REAL *loss, const long long *at, long long step, REAL *const *losses)
{
    (*losses)[*at + step] = *loss;
}
