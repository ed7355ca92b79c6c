"""Arrays on the CPU and the GPU, their products, and BLAS threads."""
