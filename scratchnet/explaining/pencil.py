"""A network of two inputs, two hidden units and two outputs: every number small enough
to check with a pencil.
"""

import numpy as np

from scratchnet.engine.layers import Linear, Sequential, Sigmoid
from scratchnet.engine.losses import QuadraticCost
from scratchnet.engine.trace import Trace
from scratchnet.explaining.formula import short
from scratchnet.explaining.lesson import Lesson
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, output_formula
from scratchnet.explaining.three_ways import three_ways

X, T = [1.0, 0.5], [1.0, 0.0]
WEIGHTS = {
    "0.weight": [[0.25, -1.0], [0.5, 0.5]],
    "0.bias": [0.25, 0.25],
    "2.weight": [[1.0, -0.5], [-1.0, 2.0]],
    "2.bias": [0.25, -0.5],
}


def network() -> Sequential:
    """2-2-2 with sigmoids, whose first weighted inputs are 0 and 1."""
    net = Sequential(Linear(2, 2), Sigmoid(), Linear(2, 2), Sigmoid(), dtype="float64")
    net.load_state_dict({name: np.array(value) for name, value in WEIGHTS.items()})
    return net


def trace_of(net: Sequential) -> Trace:
    return net.trace([X], [T], QuadraticCost(), training=False)


def lesson() -> Lesson:
    """Every z, a, σ′, δ and gradient of one pass."""
    net = network()
    trace = trace_of(net)
    title = "Backpropagation with a pencil: a network of 2 inputs, 2 hidden units, 2 outputs"
    on = Lesson(title)
    on.say(title, "title")
    on.say(f"x = a0 = ({short(X[0])}, {short(X[1])}), target t = ({short(T[0])}, {short(T[1])}); "
           "layer l: zl = Wl a(l-1) + bl, al = σ(zl)")  # fmt: skip
    on.equation(output_formula(trace, 0, (0,)), letters="z = W a + b")
    for layer, i in ((1, 0), (2, 2)):
        for j in range(2):
            on.numbers(f"z{layer}[{j}]", output_formula(trace, i, (j,)))
    on.equation(output_formula(trace, 1, (0,)), letters="a = σ(z), σ′ = a (1 - a)")
    for layer, i in ((1, 1), (2, 3)):
        for j in range(2):
            formula = output_formula(trace, i, (j,))
            a = formula.value
            words = f"{formula.numbers():<22} σ′ = {short(a)}·(1 - {short(a)}) = {short(a * (1 - a))}"
            on.numbers(f"a{layer}[{j}]", formula, words)
    cost = loss_formula(trace)
    on.equation(cost, letters="C = ½ Σ (a2 - t)²")
    squares = " + ".join(f"({short(a)} - {short(t)})²" for a, t in zip(trace.output[0], T))
    on.numbers("C", cost, f"½ ({squares}) = {short(cost.value)}")
    on.equation(delta_formula(trace, 2, (0,)), letters="δ2 = (a2 - t) σ′(z2)")
    for j in range(2):
        formula = delta_formula(trace, 2, (j,))
        a, prime = trace.output[0, j], formula.terms[0][1][1]
        words = f"({short(a)} - {short(T[j])})·{short(prime)} = {short(formula.value)}"
        on.numbers(f"δ2[{j}]", formula, words)
    on.equation(delta_formula(trace, 1, (0,)), letters="δ1 = (W2ᵀ δ2) σ′(z1)")
    for j in range(2):
        sent, formula = delta_formula(trace, 1, (j,)), delta_formula(trace, 0, (j,))
        words = f"({sent.numbers(result=False)})·{short(formula.terms[0][1][1])} = {short(formula.value)}"
        on.numbers(f"δ1[{j}]", formula, words)
        on.formulas.append(sent)
    on.equation(gradient_formula(trace, 0, "bias", (0,)), letters="∂C/∂b = δ")
    for layer, i in ((1, 0), (2, 2)):
        pair = [gradient_formula(trace, i, "bias", (j,)) for j in range(2)]
        on.formulas += pair
        parts = [f"∂C/∂b{layer}[{j}] = {short(f.value)}" for j, f in enumerate(pair)]
        on.say(f"     {parts[0]:<37}{parts[1]}")
    on.equation(gradient_formula(trace, 0, "weight", (0, 0)), letters="∂C/∂W = δ aᵀ: ∂C/∂Wl[j,i] = δl[j] a(l-1)[i]")
    for layer, i in ((1, 0), (2, 2)):
        for j in range(2):
            pair = [gradient_formula(trace, i, "weight", (j, k)) for k in range(2)]
            on.formulas += pair
            parts = [f"∂C/∂W{layer}[{j},{k}] = {f.numbers()}" for k, f in enumerate(pair)]
            on.say(f"     {parts[0]:<37}{parts[1]}")
    on.checked(three_ways(net, trace, 0, "weight", (0, 0)), "W1[0,0]")
    return on
