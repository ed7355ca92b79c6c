// One time step of an LSTM or a GRU, forward or back: the product of the weights, and
// all that follows it, in one kernel. What it does is in layers/lstm.py and gru.py.
//
// Letters: H hidden units, I features of the input, N sequences, t the time of T. An
// array has the sequences last, so that neighbouring threads read neighbouring memory:
// a (T + 1, H + I + 1, N) holds h_{t-1}, x_t and 1 of every time. ended (T, 1, N) is
// true where a sequence has ended; it may be a null pointer.
//
// A block computes one hidden unit, h, for 32 sequences. Lane l of each warp has the
// same sequence; the warps share the terms of the sums.

constexpr int WARPS = 8;

struct Place {
    long long h, n;
    int warp;
    bool writes; // whether this thread has a sequence, and its warp writes the results
};

__device__ Place place(long long H, long long N)
{
    const long long n = blockIdx.x / H * 32 + threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    return {blockIdx.x % H, n, warp, warp == 0 && n < N};
}

// The sum of v over the warps' threads of the same lane.
__device__ REAL over_warps(REAL v)
{
    __shared__ REAL of_warp[WARPS][32];
    __syncthreads(); // it may still be read from the call before
    of_warp[threadIdx.x / 32][threadIdx.x % 32] = v;
    __syncthreads();
    v = 0;
    for (int w = 0; w < WARPS; w++)
        v += of_warp[w][threadIdx.x % 32];
    return v;
}

// Row h of W (rows, columns) times a (columns, N)
__device__ REAL row(const REAL *W, long long h, long long columns, const REAL *a, long long N, const Place &at)
{
    REAL sum = 0;
    if (at.n < N)
        for (long long k = at.warp; k < columns; k += WARPS)
            sum += W[h * columns + k] * a[k * N + at.n];
    return over_warps(sum);
}

// Column h of W (rows, H) times delta (rows, N): BP2
__device__ REAL column(const REAL *W, long long rows, long long H, const REAL *delta, long long N, const Place &at)
{
    REAL sum = 0;
    if (at.n < N)
        for (long long k = at.warp; k < rows; k += WARPS)
            sum += W[k * H + at.h] * delta[k * N + at.n];
    return over_warps(sum);
}

// cells (T + 1, 5, H, N): c_{t-1}, i, f, g, o
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    lstm(const REAL *W_ih, const REAL *W_hh, const REAL *b_ih, const REAL *b_hh, REAL *a, REAL *cells, REAL *tanh_c,
         const bool *ended, long long t, long long H, long long I, long long N)
{
    const Place at = place(H, N);
    const long long size = (H + I + 1) * N, cell = H * N, here = at.h * N + at.n;
    a += t * size;
    cells += t * 5 * cell + here;
    REAL z[4];
    for (int gate = 0; gate < 4; gate++) {
        const long long r = gate * H + at.h;
        z[gate] = row(W_hh, r, H, a, N, at) + row(W_ih, r, I, a + H * N, N, at) + b_ih[r] + b_hh[r];
    }
    if (!at.writes)
        return;
    const REAL i = activate(z[0], SIGMOID), f = activate(z[1], SIGMOID), g = tanh(z[2]), o = activate(z[3], SIGMOID);
    const bool held = ended && ended[t * N + at.n];
    const REAL c = f * cells[0] + i * g, s = tanh(c);
    cells[1 * cell] = i;
    cells[2 * cell] = f;
    cells[3 * cell] = g;
    cells[4 * cell] = o;
    tanh_c[t * cell + here] = s;
    cells[5 * cell] = held ? cells[0] : c; // c_t, where time t + 1 finds it
    a[size + here] = held ? a[here] : o * s; // h_t
}

// delta (T, 4, H, N) of time t, from that of time t + 1; at t = T - 1 from dh, the
// gradient of the final state. above (T, H, N) may be a null pointer. dc and `carried`,
// what reaches dh past the product, are kept from call to call. At t = -1 nothing is
// left but the gradient of the initial state, in dh.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    lstm_back(const REAL *W_hh, const REAL *cells, const REAL *tanh_c, const REAL *above, const bool *ended, long long
              t, long long T, long long H, long long N, REAL *dh, REAL *dc, REAL *carried, REAL *delta)
{
    const Place at = place(H, N);
    const long long cell = H * N, here = at.h * N + at.n;
    REAL grad = t < T - 1 ? column(W_hh, 4 * H, H, delta + (t + 1) * 4 * cell, N, at) : 0;
    if (!at.writes)
        return;
    grad += t < T - 1 ? carried[here] : dh[here];
    if (t < 0) {
        dh[here] = grad;
        return;
    }
    if (above)
        grad += above[t * cell + here];
    cells += t * 5 * cell + here;
    const REAL before = cells[0], i = cells[cell], f = cells[2 * cell], g = cells[3 * cell], o = cells[4 * cell];
    const REAL s = tanh_c[t * cell + here], dc_t = dc[here] + grad * o * (1 - s * s);
    const bool held = ended && ended[t * N + at.n];
    delta += t * 4 * cell + here;
    delta[0] = held ? 0 : dc_t * g * (i * (1 - i)); // c_t = f c_{t-1} + i g
    delta[cell] = held ? 0 : dc_t * before * (f * (1 - f));
    delta[2 * cell] = held ? 0 : dc_t * i * (1 - g * g);
    delta[3 * cell] = held ? 0 : grad * s * (o * (1 - o)); // h_t = o tanh(c_t)
    carried[here] = held ? grad : 0;
    if (!held)
        dc[here] = dc_t * f;
}

// gates (T, 4, H, N): r, z, q, n
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    gru(const REAL *W_ih, const REAL *W_hh, const REAL *b_ih, const REAL *b_hh, REAL *a, REAL *gates, const bool
        *ended, long long t, long long H, long long I, long long N)
{
    const Place at = place(H, N);
    const long long size = (H + I + 1) * N, cell = H * N, here = at.h * N + at.n;
    a += t * size;
    REAL from_h[3], from_x[3];
    for (int gate = 0; gate < 3; gate++) {
        const long long r = gate * H + at.h;
        from_h[gate] = row(W_hh, r, H, a, N, at) + b_hh[r];
        from_x[gate] = row(W_ih, r, I, a + H * N, N, at) + b_ih[r];
    }
    if (!at.writes)
        return;
    const REAL r = activate(from_h[0] + from_x[0], SIGMOID), z = activate(from_h[1] + from_x[1], SIGMOID);
    const REAL q = from_h[2], n = tanh(from_x[2] + r * q), h = a[here];
    gates += t * 4 * cell + here;
    gates[0] = r;
    gates[cell] = z;
    gates[2 * cell] = q;
    gates[3 * cell] = n;
    a[size + here] = ended && ended[t * N + at.n] ? h : n + z * (h - n); // (1 - z) n + z h
}

// delta (T, 4, H, N) has the blocks r, z, q, n; W_hh sees the first three. The rest as
// in lstm_back.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    gru_back(const REAL *W_hh, const REAL *a, const REAL *gates, const REAL *above, const bool *ended, long long t,
             long long T, long long H, long long I, long long N, REAL *dh, REAL *carried, REAL *delta)
{
    const Place at = place(H, N);
    const long long cell = H * N, here = at.h * N + at.n;
    REAL grad = t < T - 1 ? column(W_hh, 3 * H, H, delta + (t + 1) * 4 * cell, N, at) : 0;
    if (!at.writes)
        return;
    grad += t < T - 1 ? carried[here] : dh[here];
    if (t < 0) {
        dh[here] = grad;
        return;
    }
    if (above)
        grad += above[t * cell + here];
    gates += t * 4 * cell + here;
    const REAL r = gates[0], z = gates[cell], q = gates[2 * cell], n = gates[3 * cell];
    const REAL h = a[t * (H + I + 1) * N + here], kept = grad * z, delta_n = (grad - kept) * (1 - n * n);
    const bool held = ended && ended[t * N + at.n];
    delta += t * 4 * cell + here;
    delta[0] = held ? 0 : delta_n * q * (r * (1 - r)); // n = tanh(p + r q)
    delta[cell] = held ? 0 : grad * (h - n) * (z * (1 - z)); // h_t = n + z (h_{t-1} - n)
    delta[2 * cell] = held ? 0 : delta_n * r;
    delta[3 * cell] = held ? 0 : delta_n;
    carried[here] = held ? grad : kept;
}
