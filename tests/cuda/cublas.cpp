// The functions of cuBLAS that CuPy calls for products of float and double, on host memory and in plain loops.
// compiling.py adds all others, which return NOT_SUPPORTED.
#include <cstddef>

#include "driver.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
enum { OK = 0, INVALID = 7, NOT_SUPPORTED = 15, SINGLE = 0, DOUBLE = 1 };
struct Handle {
    void *stream = nullptr;
    int pointer_mode = 0, math_mode = 0; // mode 0: alpha and beta are on the host
};

EXPORT int cublasCreate_v2(Handle **h)
{
    *h = new Handle;
    return OK;
}
EXPORT int cublasDestroy_v2(Handle *h)
{
    delete h;
    return OK;
}
EXPORT int cublasGetVersion_v2(Handle *, int *v)
{
    *v = 120900;
    return OK;
}
EXPORT int cublasSetStream_v2(Handle *h, void *s)
{
    h->stream = s;
    return OK;
}
EXPORT int cublasGetStream_v2(Handle *h, void **s)
{
    *s = h->stream;
    return OK;
}
EXPORT int cublasSetWorkspace_v2(Handle *, void *, size_t) { return OK; }
EXPORT int cublasGetPointerMode_v2(Handle *h, int *mode)
{
    *mode = h->pointer_mode;
    return OK;
}
EXPORT int cublasSetPointerMode_v2(Handle *h, int mode)
{
    h->pointer_mode = mode;
    return OK;
}
EXPORT int cublasGetMathMode(Handle *h, int *mode)
{
    *mode = h->math_mode;
    return OK;
}
EXPORT int cublasSetMathMode(Handle *h, int mode)
{
    h->math_mode = mode;
    return OK;
}

// C = alpha A B + beta C in columns, A (m, k) or turned, B (k, n) or turned.
template <class T>
static int gemm(Handle *h, bool turn_a, bool turn_b, int m, int n, int k, const T *alpha, const T *A, int lda,
                const T *B, int ldb, const T *beta, T *C, int ldc)
{
    if (m < 0 || n < 0 || k < 0 || lda < (turn_a ? k : m) || ldb < (turn_b ? n : k) || ldc < m || h->pointer_mode)
        return INVALID;
    const T a = *alpha, b = *beta;
    return run_on(h->stream, "launch", "gemm", [=] {
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                T sum = 0, &c = C[i + (ptrdiff_t)j * ldc];
                for (int l = 0; l < k; l++)
                    sum += (turn_a ? A[l + (ptrdiff_t)i * lda] : A[i + (ptrdiff_t)l * lda]) *
                           (turn_b ? B[j + (ptrdiff_t)l * ldb] : B[l + (ptrdiff_t)j * ldb]);
                c = b == 0 ? a * sum : a * sum + b * c;
            }
        return int(OK);
    });
}
template <class T>
static int ger(Handle *h, int m, int n, const T *alpha, const T *x, int step_x, const T *y, int step_y, T *A, int lda)
{
    if (lda < m || h->pointer_mode)
        return INVALID;
    const T a = *alpha;
    return run_on(h->stream, "launch", "ger", [=] {
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++)
                A[i + (ptrdiff_t)j * lda] += a * x[i * step_x] * y[j * step_y];
        return int(OK);
    });
}

#define FOR(T, letter)                                                                                                 \
    EXPORT int cublas##letter##gemm_v2(Handle *h, int ta, int tb, int m, int n, int k, const T *alpha, const T *A,     \
                                       int lda, const T *B, int ldb, const T *beta, T *C, int ldc)                     \
    {                                                                                                                  \
        return gemm(h, ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);                                          \
    }                                                                                                                  \
    EXPORT int cublas##letter##ger_v2(Handle *h, int m, int n, const T *alpha, const T *x, int step_x, const T *y,     \
                                      int step_y, T *A, int lda)                                                       \
    {                                                                                                                  \
        return ger(h, m, n, alpha, x, step_x, y, step_y, A, lda);                                                      \
    }
FOR(float, S)
FOR(double, D)

EXPORT int cublasGemmEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *A, int type,
                        int lda, const void *B, int type_b, int ldb, const void *beta, void *C, int type_c, int ldc,
                        int, int)
{
    if (type != type_b || type != type_c)
        return NOT_SUPPORTED;
    if (type == SINGLE)
        return gemm(h, ta, tb, m, n, k, (const float *)alpha, (const float *)A, lda, (const float *)B, ldb,
                    (const float *)beta, (float *)C, ldc);
    if (type == DOUBLE)
        return gemm(h, ta, tb, m, n, k, (const double *)alpha, (const double *)A, lda, (const double *)B, ldb,
                    (const double *)beta, (double *)C, ldc);
    return NOT_SUPPORTED;
}
EXPORT int cublasGemmStridedBatchedEx(Handle *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *A,
                                      int type, int lda, long long step_a, const void *B, int type_b, int ldb,
                                      long long step_b, const void *beta, void *C, int type_c, int ldc,
                                      long long step_c, int count, int compute, int algorithm)
{
    const size_t size = type == SINGLE ? sizeof(float) : sizeof(double);
    for (int i = 0; i < count; i++) {
        const int code =
            cublasGemmEx(h, ta, tb, m, n, k, alpha, (const char *)A + size * step_a * i, type, lda,
                         (const char *)B + size * step_b * i, type_b, ldb, beta, (char *)C + size * step_c * i, type_c,
                         ldc, compute, algorithm);
        if (code)
            return code;
    }
    return OK;
}
