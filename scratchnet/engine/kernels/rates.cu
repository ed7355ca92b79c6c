// What changes from step to step while graphs are replayed, kept on the device: the
// settings of the optimiser, and the numbers of the steps.

enum { PLAIN, MOMENTUM, ADAM };
enum { RATE, BETA1, BETA2, EPS, MINUS_RATE, KEEP, SETTINGS }; // columns of the settings

// The settings of the next `steps` steps, a thread for each, after *made steps in all.
// given: lr, beta1, beta2, eps, and the decay of the weights by AdamW. With momentum,
// beta2 is mu. Adam's sums are kept without factors, as in optim.py.
extern "C" __global__ void rates(const long long *made, long long steps, long long rule, const double *given,
                                 REAL *settings)
{
    if ((long long)threadIdx.x >= steps)
        return;
    double lr = given[0], eps = given[3];
    if (rule == ADAM) {
        const double t = *made + threadIdx.x + 1;
        const double root = sqrt((1 - given[2]) / (1 - pow(given[2], t)));
        lr *= (1 - given[1]) / (1 - pow(given[1], t)) / root;
        eps /= root;
    }
    settings += SETTINGS * threadIdx.x;
    settings[RATE] = lr;
    settings[BETA1] = given[1];
    settings[BETA2] = given[2];
    settings[EPS] = eps;
    settings[MINUS_RATE] = -lr;
    settings[KEEP] = 1 - given[0] * given[4];
}

// The next graph begins `steps` further on. One thread.
extern "C" __global__ void advance(long long *at, long long *made, long long steps)
{
    *at += steps;
    *made += steps;
}
