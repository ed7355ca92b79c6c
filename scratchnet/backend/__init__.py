"""What the engine computes with: arrays, products, devices, sparse matrices and BLAS threads."""
