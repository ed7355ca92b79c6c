"""Exercise 12: Adam.

Adam keeps two running means for every weight: m of its slopes, and v of their
squares. It divides the one by the root of the other, so that weights with small and
with large slopes move about equally far.

    m_new = β₁ m + (1 − β₁) g
    v_new = β₂ v + (1 − β₂) g²

Both begin at 0, and are too small at first. At step t = 1, 2, ... this is corrected
for the step alone (and not in what is kept):

    m̂ = m_new / (1 − β₁ᵗ)        v̂ = v_new / (1 − β₂ᵗ)
    w_new = w − lr · m̂ / (√v̂ + eps)

    w, g, m, v               arrays of one shape
    t                        the number of this step, from 1
    lr, beta1, beta2, eps    numbers

Return (w_new, m_new, v_new), all as new arrays.
"""

import numpy as np


def adam(w, g, m, v, t, lr, beta1, beta2, eps):
    raise NotImplementedError
