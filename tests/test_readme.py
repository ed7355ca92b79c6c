"""The README's Python runs as it stands there, and what it says of the library is so.

Each test is named after the sentence that it holds to.
"""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchnet as sn
from tests.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LIBRARY = README[README.index("## As a library") : README.index("## See inside")]
BLOCKS = re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the first block leaves behind, in a folder of its own."""
    folder = tmp_path_factory.mktemp("reader")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(BLOCKS[0], "README.md", "exec"), names)
    return names | {"folder": folder}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def network(seed: int = 0) -> sn.Sequential:
    return sn.Sequential(sn.Linear(2, 16), sn.Tanh(), sn.Linear(16, 2), seed=seed)


def fitted(reader: dict[str, Any], *data: Any, **options: Any) -> tuple[sn.Sequential, sn.History]:
    net = network()
    data = data or (reader["x"], reader["labels"])
    return net, sn.fit(net, sn.CrossEntropyLoss(), sn.Adam(net, lr=0.01), *data, **options)


def test_the_librarys_section_runs_from_top_to_bottom(capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, of the extra `sklearn`, is not installed")
    names: dict[str, Any] = {}
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["history"].last["train_loss"] < 0.3
    assert Path("xor.safetensors").exists() and Path("xor.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "parameters" in said and "right" in said and "{'lr': 0.0" in said


def test_weights_under_pytorchs_names_and_gradients_that_are_pytorchs(reader: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    load_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").load_file
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    theirs.load_state_dict(load_file(reader["folder"] / "xor.safetensors"))
    x, labels = torch.from_numpy(np.float32(reader["x"])), torch.from_numpy(reader["labels"])
    loss = torch.nn.functional.cross_entropy(theirs(x), labels)
    loss.backward()
    assert reader["value"] == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(reader["gradients"][name], parameter.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_every_output_delta_and_gradient_layer_by_layer(reader: dict[str, Any]) -> None:
    trace = reader["net"].trace(reader["x"][:5], reader["labels"][:5], sn.CrossEntropyLoss())
    for layer in trace.layers:
        assert layer.output.shape == layer.delta.shape and layer.input is not None
    assert set(trace.layers[0].gradients) == {"weight", "bias"}


def test_plots_are_figures_of_matplotlib_and_take_axes(reader: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    from scratchnet import plots

    net, history = reader["net"], reader["history"]
    assert isinstance(plots.boundary(net, reader["x"], reader["labels"]), Figure)
    assert isinstance(history.plot(), Figure)
    ax = Figure().subplots()
    history.plot(ax)
    assert ax.lines
    for name in ("net.svg", "net.png"):
        net.draw(name)
        assert Path(name).stat().st_size > 1000
    with pytest.raises(sn.SettingError, match=r"\.svg"):
        net.draw("net.bmp")
    images = sn.Sequential(sn.Conv2d(1, 2, 3), sn.Flatten(), sn.Linear(2 * 26 * 26, 10))
    images.draw("convolution.svg", input_shape=(1, 28, 28))
    assert isinstance(sn.compare({"small": history, "large": history}), Figure)


def test_callbacks_get_the_row_of_every_epoch(reader: dict[str, Any]) -> None:
    rows: list[dict[str, float]] = []
    _, history = fitted(reader, epochs=3, callbacks=[rows.append])
    assert rows == history.epochs and len(rows) == 3


def test_classes_and_probabilities(reader: dict[str, Any]) -> None:
    net, x = reader["net"], reader["x"]
    p = net.predict_proba(x)
    assert p.shape == (500, 2) and p.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(net.predict(x), p.argmax(axis=1))
    assert (net.predict(x) == reader["labels"]).mean() == sn.accuracy(reader["outputs"], reader["labels"])


def test_patience_stops_and_gives_the_weights_of_the_best_epoch_back(reader: dict[str, Any]) -> None:
    x, labels = reader["x"], reader["labels"]
    noise = np.random.default_rng(1).integers(0, 2, 100)  # nothing to be learnt: validation only gets worse
    net, history = fitted(reader, x[:100], noise, epochs=500, valid=(x[100:], labels[100:]), patience=5)
    losses = [row["valid_loss"] for row in history.epochs]
    assert len(losses) < 500 and min(losses) == losses[-6]
    value, _ = sn.evaluate(net, sn.CrossEntropyLoss(), x[100:], labels[100:])
    assert value == pytest.approx(min(losses), rel=1e-6)


def test_a_line_per_epoch_where_there_is_no_terminal_if_it_is_asked_for(
    reader: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    for progress, lines in ((None, 0), (False, 0), (True, 4)):
        fitted(reader, epochs=4, progress=progress)
        assert capsys.readouterr().err.count("epoch") == lines


def test_set_threads_fixes_the_number(reader: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from scratchnet.backend import threads

    monkeypatch.setattr(threads, "_fixed", "auto")
    sn.set_threads(1)
    assert threads.choose_threads("auto", 1e12) == 1
    sn.set_threads("auto")


def test_batches_that_somebody_else_makes(reader: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, labels = reader["x"], reader["labels"]
    pairs = [(x[k : k + 50], labels[k : k + 50]) for k in range(0, len(x), 50)]
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(labels))
    kinds = [pairs, lambda: iter(pairs), torch.utils.data.DataLoader(data, batch_size=50)]
    weights = [fitted(reader, kind, epochs=5, valid=kind)[0].store.values for kind in kinds]
    in_order = fitted(reader, x, labels, epochs=5, batch_size=50, shuffle=False)[0].store.values
    assert all(np.array_equal(w, in_order) for w in weights)


def test_arrays_on_disk_keep_the_order_of_the_seed(reader: dict[str, Any]) -> None:
    np.save("x.npy", reader["x"])
    on_disk, _ = fitted(reader, np.load("x.npy", mmap_mode="r"), reader["labels"], epochs=3, seed=7)
    in_memory, _ = fitted(reader, epochs=3, seed=7)
    assert np.array_equal(on_disk.store.values, in_memory.store.values)
    assert not [thread for thread in threading.enumerate() if "scratchnet" in thread.name]


def test_the_pictures_that_the_studies_train_on(data_dir: Path) -> None:
    for load, shape in ((sn.load_mnist, (28, 28)), (sn.load_cifar10, (3, 32, 32))):
        images = load(data_dir=data_dir).train_images
        assert images.shape[1:] == shape and images.dtype == np.uint8
    assert callable(sn.load_fashion_mnist) and callable(sn.load_cifar100)


def test_the_public_names_stand_in_one_list() -> None:
    listed = (ROOT / "scratchnet" / "__init__.pyi").read_text(encoding="utf-8")
    used = set(re.findall(r"\bsn\.(\w+)", LIBRARY))
    assert used and all(re.search(rf"\bas {name}\b", listed) for name in used)


def test_the_code_reads_like_the_mathematics() -> None:
    for name in ("layers/linear.py", "equations.py"):
        text = (ROOT / "scratchnet" / "engine" / name).read_text(encoding="utf-8")
        assert ("W a + b" if "linear" in name else "δ aᵀ") in text
