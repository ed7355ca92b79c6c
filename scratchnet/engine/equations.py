"""The four equations of backpropagation, by name. Every layer that learns calls them.

Letters: z weighted input, a activation, delta = ∂C/∂z, W weights (out, in), b biases
(out,). Examples are columns: a is (in, N), and z and delta are (out, N), with N
examples in the batch.

    BP1   δᴸ = ∇ₐC ⊙ σ′(zᴸ)             the error of the output layer
    BP2   δˡ = (Wˡ⁺¹ᵀ δˡ⁺¹) ⊙ σ′(zˡ)     the error of a layer, from the one after it
    BP3   ∂C/∂b = δ                     summed over the examples
    BP4   ∂C/∂W = δ aᵀ                  summed over the examples by the product

The losses of this engine give ∇ₐC for the mean over the batch, so the textbook's factor
1/m is already part of δ.

Source: M. Nielsen, Neural Networks and Deep Learning (2015), chapter 2; D. Rumelhart,
G. Hinton and R. Williams, Learning representations by back-propagating errors, Nature
323 (1986).
"""

from scratchnet.backend.arrays import Array
from scratchnet.backend.products import add_rows, dot, dot_transposed, row_sums


def bp1_error(grad_a: Array, sigma_prime: Array) -> Array:
    """BP1, δ = ∇ₐC ⊙ σ′(z): the backward pass of every activation layer.

    Overwrites and returns `grad_a`. For the last layer `grad_a` is the ∇ₐC of the loss.
    For any other layer it is what `bp2_propagate` sent back, and the product of the two
    is then BP2. Both arguments have the shape of z.
    """
    grad_a *= sigma_prime
    return grad_a


def bp2_propagate(W: Array, delta: Array, out: Array | None = None) -> Array:
    """BP2 without its ⊙ σ′: Wᵀ δ, which is ∂C/∂a of the layer before.

    (out, in), (out, N) → (in, N), written to `out` if given.
    """
    return dot(W.T, delta, out)


def bp3_bias(delta: Array) -> Array:
    """BP3, ∂C/∂b = δ, summed over the examples. (out, N) → (out,)."""
    return row_sums(delta)


def bp4_weight(delta: Array, a: Array, out: Array | None = None) -> Array:
    """BP4, ∂C/∂W = δ aᵀ, written to `out` if given. (out, N), (in, N) → (out, in)."""
    return dot_transposed(delta, a, out)


def bp4_rows(index: Array, rows: Array, out: Array) -> None:
    """BP4 where every example is one index, as in an Embedding.

    An index stands for a column of zeros with a single 1. ∂C/∂W of row k is then the
    sum of δ over the examples whose index is k, and 0 where there is none: index (N,),
    rows δᵀ (N, D), out (V, D).
    """
    out[...] = 0
    add_rows(out, index, rows)
