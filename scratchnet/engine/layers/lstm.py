"""Long short-term memory: a recurrent layer that can remember for many time steps.

Letters as in recurrent.py; i, f, g, o input gate, forget gate, candidate, output gate;
c_t cell state, all (H, N); di = ∂C/∂i, and so on.
"""

from dataclasses import dataclass
from typing import ClassVar

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine.equations import bp1_error, bp2_propagate
from scratchnet.engine.layers.activation import sigmoid
from scratchnet.engine.layers.recurrent import Arrays, Recurrent


@dataclass(eq=False)
class LSTM(Recurrent):
    """c_t = f ⊙ c_{t−1} + i ⊙ g, h_t = o ⊙ tanh(c_t).

    The gates come from z_t = W_ih x_t + b_ih + W_hh h_{t−1} + b_hh, whose four blocks
    of rows are, in this order, z_i, z_f, z_g and z_o: i = σ(z_i), f = σ(z_f), g =
    tanh(z_g), o = σ(z_o). This is PyTorch's form; some texts have h_t = o ⊙ tanh(W c_t
    + b), with one more weight. Training keeps 2 (I + H + 1)·N + 16 H·N numbers per time
    step. See `Recurrent` for shapes, options and errors.
    Source: F. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural
    Computation 12 (2000), after S. Hochreiter and J. Schmidhuber, Long short-term
    memory, Neural Computation 9 (1997); parameters as in torch.nn.LSTM.
    """

    blocks: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def cell(self, W: Array, a_t: Array, state: Arrays) -> tuple[Arrays, Arrays]:
        xp, (_, c_before) = xp_of(a_t), state
        z_i, z_f, z_g, z_o = xp.split(dot(W, a_t), 4)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), xp.tanh(z_g), sigmoid(z_o)
        c = f * c_before + i * g
        tanh_c = xp.tanh(c)
        h = o * tanh_c
        return (h, c), (c_before, i, f, g, o, tanh_c)

    def cell_back(self, W_hh: Array, grads: Arrays, kept: Arrays) -> tuple[Array, Arrays]:
        (dh, dc), (c_before, i, f, g, o, tanh_c) = grads, kept
        do = dh * tanh_c  # h_t = o ⊙ tanh(c_t)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        # c_t = f ⊙ c_{t−1} + i ⊙ g
        di, df, dg, dc_before = dc * g, dc * c_before, dc * i, dc * f
        delta_i = bp1_error(di, i * (1 - i))  # i = σ(z_i)
        delta_f = bp1_error(df, f * (1 - f))
        delta_g = bp1_error(dg, 1 - g * g)  # g = tanh(z_g)
        delta_o = bp1_error(do, o * (1 - o))
        delta = xp_of(dh).concatenate([delta_i, delta_f, delta_g, delta_o])
        # z_t = W_hh h_{t−1} + ...
        return delta, (bp2_propagate(W_hh, delta), dc_before)
