"""Three steps of the network of every preset of every study, on a GPU as on the CPU."""

import importlib
import pkgutil

import numpy as np
import pytest

import scratchnet.studies
from scratchnet import SGD, step
from tests.cuda import stub


@pytest.mark.gpu
@pytest.mark.parametrize("study", [found.name for found in pkgutil.iter_modules(scratchnet.studies.__path__)])
def test_every_study(gpu, study, tmp_path):
    module = importlib.import_module(f"scratchnet.studies.{study}")
    for here, shape, loss in getattr(module, "networks", dict)().values():
        three_steps(gpu, here, shape, loss, tmp_path)


def three_steps(cupy, here, shape, loss, folder):
    here.save(folder / "model.safetensors")
    there = scratchnet.load(folder / "model.safetensors", device="cuda")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, *shape))
    y = here(x).shape
    t = rng.integers(0, y[-1], y[:-1]) if loss.takes_labels else rng.random(y)
    a, b = SGD(here, 0.01, momentum=0.5), SGD(there, 0.01, momentum=0.5)
    x_there, t_there = cupy.asarray(x), cupy.asarray(t)
    for _ in range(3):
        expected = step(here, loss, a, x, t)
        if stub.is_installed():
            with stub.watch() as seen:
                value = step(there, loss, b, x_there, t_there)
            # Only random numbers are copied, which are drawn on the host so that they
            # are the same on every device, and addresses where CuPy stacks many arrays.
            known = [line for line in seen.transfers if "learner.py" in line or ".stack(" in line]
            assert seen.waits == [] and seen.transfers == known
        else:
            value = step(there, loss, b, x_there, t_there)
        np.testing.assert_allclose(value.get(), expected, rtol=1e-9)
    for name, w in here.state_dict().items():
        np.testing.assert_allclose(there.state_dict()[name], w, rtol=1e-8, atol=1e-10, err_msg=name)
