// What the kernels share. REAL is float or double.

enum { IDENTITY, SIGMOID, TANH, RELU };

__device__ REAL activate(REAL z, long long activation)
{
    switch (activation) {
    case SIGMOID: return 1 / (1 + exp(-z));
    case TANH: return tanh(z);
    case RELU: return z < 0 ? 0 : z; // NaN stays NaN
    default: return z;
    }
}

// grad * sigma'(z), from the activation a: BP1 and BP2
__device__ REAL times_sigma_prime(REAL grad, REAL a, long long activation)
{
    switch (activation) {
    case SIGMOID: return grad * (a * (1 - a));
    case TANH: return grad * (1 - a * a);
    case RELU: return a != 0 ? grad : 0;
    default: return grad;
    }
}

__device__ REAL combine(REAL u, REAL v, bool largest)
{
    return !largest ? u + v : u > v ? u : v;
}

// The sum of v over the threads of a warp, or the largest; all get the same bits.
__device__ REAL over_warp(REAL v, bool largest)
{
    for (int other = 16; other > 0; other /= 2)
        v = combine(v, __shfl_xor_sync(0xffffffff, v, other), largest);
    return v;
}
