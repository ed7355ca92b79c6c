"""Every schedule against torch's scheduler or its formula; the command line's texts."""

import pytest

from scratchnet import Constant, Cosine, Decay, Exponential, OneCycle, PerEpoch, SettingError
from scratchnet.engine.schedules import Schedule, parse_schedule, rate_of

torch = pytest.importorskip("torch", reason="PyTorch's schedulers are what ours are compared with")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Exponential(0.3, 0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
     (Cosine(0.3, 20), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20)),
     (Constant(0.3), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
     (Decay(0.3, 0.2), lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + 0.2 * epoch))),
     (PerEpoch(((0.3, 5), (0.03, 3))), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [5]))],
    ids=["exponential", "cosine", "constant", "decay", "per epoch"],
)  # fmt: skip
def test_schedule_is_torchs(ours: Schedule, theirs) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = theirs(optimiser)
    for epoch in range(20):
        assert ours(epoch) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12, abs=1e-15)
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize(("epochs", "steps", "warm_up"), [(3, 7, 0.3), (2, 50, 0.2), (1, 10, 0.05), (4, 1, 0.5)])
def test_one_cycle_is_torchs_step_by_step(epochs: int, steps: int, warm_up: float) -> None:
    ours = OneCycle(0.3, epochs, warm_up)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 0.3, total_steps=epochs * steps, pct_start=warm_up, anneal_strategy="linear", cycle_momentum=False
    )
    for epoch in range(epochs):
        for k in range(steps):
            assert rate_of(ours, epoch, k, steps) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
            optimiser.step()
            if epoch * steps + k < epochs * steps - 1:
                theirs.step()


def test_one_cycle_epoch_by_epoch() -> None:
    """What is known before a training: the rate at the beginning of each epoch."""
    schedule = OneCycle(1.0, 4, 0.5)
    assert [rate_of(schedule, k) for k in range(5)] == pytest.approx([0.04, 0.52, 1, 0.500002, 0.000004])
    assert schedule(9) == schedule(4)


def test_last_rate_of_a_list_holds_for_ever() -> None:
    schedule = PerEpoch(((0.5, 2), (0.1, 1)))
    assert [schedule(k) for k in range(6)] == [0.5, 0.5, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("text", "schedule"),
    [("constant", Constant(0.2)), ("cosine", Cosine(0.2, 7)), ("exponential:0.9", Exponential(0.2, 0.9)),
     ("decay:0.01", Decay(0.2, 0.01)), ("one-cycle", OneCycle(0.2, 7)), ("one-cycle:0.5", OneCycle(0.2, 7, 0.5)),
      ("0.5 for 5, then 0.1 for 5", PerEpoch(((0.5, 5), (0.1, 5)))),
     (" 0.5 for 5 ", PerEpoch(((0.5, 5),))), ("0.5 for 5, 0.1 for 5", PerEpoch(((0.5, 5), (0.1, 5))))],
)  # fmt: skip
def test_text(text: str, schedule: Schedule) -> None:
    assert parse_schedule(text, lr=0.2, epochs=7) == schedule


@pytest.mark.parametrize("text", ["", "linear", "exponential", "exponential:x", "decay:", "cosine:3", "one-cycle:x",
                                  "0.5 for", "0.5 for 2.5", "for 5", "0.5 for 5 then 0.1 for 5",
                                  "constant:1"])  # fmt: skip
def test_text_that_is_none(text: str) -> None:
    with pytest.raises(SettingError, match="choose constant, cosine"):
        parse_schedule(text, lr=0.2, epochs=7)
