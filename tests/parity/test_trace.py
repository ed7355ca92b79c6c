"""Every number of a trace is PyTorch's, by hooks, to 1e-12.

Outputs, deltas, gradients, ∂C/∂x, and the gates of all time steps.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what a trace is compared with")

import scratchnet as sn  # noqa: E402
from parity.compare import Watched, drop_as_we_did  # noqa: E402
from parity.losses import loss_twin  # noqa: E402
from parity.report import batch_of, own_networks, rebuilt, study_networks  # noqa: E402
from parity.twins import to_torch  # noqa: E402
from scratchnet.engine.learner import Learner  # noqa: E402

NETWORKS = study_networks() | own_networks()
TOLERANCE = 1e-12
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def near(ours: np.ndarray, theirs: torch.Tensor, what: str, floor: float = 0.0) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape, what
    distance = np.linalg.norm(ours - theirs)
    assert distance <= TOLERANCE * np.linalg.norm(theirs) + floor, f"{what}: {distance}"


def masks_of(net: sn.Sequential, x: np.ndarray, target: np.ndarray, loss: sn.MSELoss) -> list[np.ndarray | None]:
    """Which neurons are dropped and how pictures are cut: the same in all passes of a
    seed.
    """
    watched = Watched(net)
    watched.cost(x, target, loss, Learner(net.seed))
    return watched.masks


@pytest.mark.parametrize("name", NETWORKS)
def test_a_trace_is_what_hooks_of_pytorch_see(name: str) -> None:
    given, shape, loss = NETWORKS[name]
    net = rebuilt(given, "float64", "cpu")
    x, target = batch_of(net, shape, loss, 4, 0)
    trace = net.trace(x, target, loss)
    twin = to_torch(net).train()
    a = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    drop_as_we_did(twin, masks_of(net, x, target, loss), a.detach())
    y, outputs = a, []
    for module in twin:
        y = module(y.view_as(y))
        y.retain_grad()
        outputs.append(y)
    value = loss_twin(loss)(y, torch.tensor(target) if loss.takes_labels else torch.tensor(target).double())
    value.backward()
    largest = max((float(p.grad.norm()) for p in twin.parameters() if p.grad is not None), default=0.0)
    assert abs(trace.loss - value.item()) <= TOLERANCE * abs(value.item())
    near(trace.output, y, "output")
    near(trace.dx, a.grad, "dx")
    for part, theirs, module in zip(trace.layers, outputs, twin, strict=True):
        near(part.output, theirs, f"output of {part.name}")
        near(part.delta, theirs.grad, f"delta of {part.name}")
        for parameter, p in module.named_parameters():
            near(part.gradients[parameter], p.grad, f"{part.name} {parameter}", 1e-14 * largest)
    assert set(trace.gradients) == {name for name, _ in twin.named_parameters()}


def by_hand(kind: type, module: torch.nn.Module, x: torch.Tensor) -> list[list[dict[str, torch.Tensor]]]:
    """The layers of a stack and their times, from PyTorch's parameters.

    Every weighted input is part of the graph.
    """
    names = {sn.RNN: "h", sn.LSTM: "ifgo", sn.GRU: "rz"}[kind]
    sequence, stack = list(x.unbind(1)), []
    for k in range(module.num_layers):
        W_ih, W_hh, b_ih, b_hh = (
            getattr(module, f"{p}_l{k}") for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = c = torch.zeros(len(x), module.hidden_size, dtype=torch.float64)
        times = []
        for x_t in sequence:
            time = {"x": x_t, "h_before": h}
            from_x, from_h = x_t @ W_ih.T + b_ih, h @ W_hh.T + b_hh
            if kind is sn.GRU:
                (r_x, z_x, p), (r_h, z_h, q) = from_x.chunk(3, 1), from_h.chunk(3, 1)
                z = {"r": r_x + r_h, "z": z_x + z_h, "q": q}
                r, u = torch.sigmoid(z["r"]), torch.sigmoid(z["z"])
                z["n"] = p + r * q
                n = torch.tanh(z["n"])
                h = (1 - u) * n + u * h
                time |= {"r": r, "z": u, "q": q, "n": n}
            else:
                z = dict(zip(names, (from_x + from_h).chunk(len(names), 1)))
                if kind is sn.LSTM:
                    i, f, g, o = torch.sigmoid(z["i"]), torch.sigmoid(z["f"]), torch.tanh(z["g"]), torch.sigmoid(z["o"])
                    time |= {"i": i, "f": f, "g": g, "o": o, "c_before": c}
                    c = f * c + i * g
                    h = o * torch.tanh(c)
                    time["c"] = c
                else:
                    h = torch.tanh(z["h"])
            time |= {"h": h, "graph": {"dh": h, **({"dc": c} if kind is sn.LSTM else {}),
                                       **{f"delta_{name}": value for name, value in z.items()}}}  # fmt: skip
            for value in time["graph"].values():
                value.retain_grad()
            times.append(time)
        stack.append(times)
        sequence = [time["h"] for time in times]
    return stack


@pytest.mark.parametrize("output", ["last", "sequence"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", [sn.RNN, sn.LSTM, sn.GRU])
def test_all_times_of_recurrent_layers(kind: type, layers: int, output: str) -> None:
    net = sn.Sequential(kind(3, 4, num_layers=layers, output=output), dtype="float64")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 5, 3))
    y_shape = net.shapes_from((5, 3))[-1]
    target = rng.normal(size=(2, *y_shape))
    (part,) = net.trace(x, target, sn.MSELoss()).layers
    stack = by_hand(kind, to_torch(net)[0], torch.tensor(x))
    states = [time["h"] for time in stack[-1]]
    y = torch.stack(states, 1) if output == "sequence" else states[-1]
    torch.nn.functional.mse_loss(y, torch.tensor(target)).backward()
    assert len(part.stack) == layers and part.times is part.stack[-1]
    for ours, theirs in zip(part.stack, stack, strict=True):
        for t, (time, reference) in enumerate(zip(ours, theirs, strict=True)):
            graph = reference.pop("graph")
            assert set(time.keys()) == set(reference) | set(graph)
            for name, value in reference.items():
                near(time[name], value, f"{name} at {t}")
            for name, value in graph.items():
                grad = torch.zeros_like(value) if value.grad is None else value.grad
                near(time[name], grad, f"{name} at {t}", 1e-16)
