"""What `fit` takes besides arrays: batches that others make, and arrays on disk.

The reference is always the same training on the same arrays in memory.
"""

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.engine.training import order_of

N, SIZE = 50, 16


def network() -> sn.Sequential:
    return sn.Sequential(sn.Linear(4, 8), sn.ReLU(), sn.Dropout(0.2), sn.Linear(8, 3), seed=1, dtype="float64")


def examples(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((n, 4))
    return x, x[:, :3].argmax(1)


def batches(epoch: int | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    x, t = examples()
    order = np.arange(N) if epoch is None else order_of(0, epoch, N)
    return [(x[order[k : k + SIZE]], t[order[k : k + SIZE]]) for k in range(0, N, SIZE)]


def trained(*data: Any, **options: Any) -> tuple[np.ndarray, sn.History]:
    net = network()
    history = sn.fit(net, sn.CrossEntropyLoss(), sn.Adam(net, 0.01), *data, **options)
    return net.store.values, history


def in_memory(epochs: int = 3, **options: Any) -> tuple[np.ndarray, sn.History]:
    return trained(*examples(), epochs=epochs, batch_size=SIZE, shuffle=False, **options)


class Dictionaries:
    """Gives dictionaries of NumPy's arrays, and does not say how many."""

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for x, t in batches():
            yield {"label": t, "image": x}


class Table:
    """A table as those of Hugging Face's `datasets`, in the format "numpy"."""

    def __init__(self, x: np.ndarray, t: np.ndarray) -> None:
        self.columns = {"image": x, "label": t}
        self.asked: list[Any] = []

    def with_format(self, kind: str) -> "Table":
        return self

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, key: Any) -> Any:
        self.asked.append(key)
        return self.columns[key] if isinstance(key, str) else {k: v[key] for k, v in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for k in range(len(self)):
            yield self[k]


def without_len() -> Any:
    return iter(batches())


KINDS = {
    "list": batches(),
    "lists": [[x, t] for x, t in batches()],
    "function": lambda: iter(batches()),
    "dictionaries": Dictionaries(),
    "single examples": [(x, t) for x, t in zip(*examples())],
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_iterable_trains_as_the_same_batches_of_arrays(kind: str) -> None:
    values, history = trained(KINDS[kind], epochs=3, batch_size=SIZE)
    expected, other = in_memory()
    assert np.array_equal(values, expected)
    assert history.step_losses == other.step_losses
    assert [row["train_loss"] for row in history.epochs] == pytest.approx([r["train_loss"] for r in other.epochs])
    assert [(row["examples"], row["steps"]) for row in history.epochs] == [(N, 4)] * 3


def test_a_dataloader_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, t = (torch.from_numpy(a) for a in examples())
    data = torch.utils.data.TensorDataset(x, t)
    loader = torch.utils.data.DataLoader(data, batch_size=SIZE)
    for given in (loader, data):  # the second gives single examples
        values, _ = trained(given, epochs=3, batch_size=SIZE, valid=loader)
        assert np.array_equal(values, in_memory()[0])
    shuffled = torch.utils.data.DataLoader(data, SIZE, shuffle=True, generator=torch.Generator().manual_seed(0))
    assert not np.array_equal(trained(shuffled, epochs=3)[0], values)


def test_a_generator_is_good_for_one_epoch_and_is_begun_no_more_often() -> None:
    values, history = trained(without_len(), epochs=1)
    assert np.array_equal(values, in_memory(1)[0]) and len(history.step_losses) == 4
    with pytest.raises(sn.SettingError, match=r"x is a list_iterator, which is exhausted after one epoch.* 2 epochs"):
        trained(without_len(), epochs=2)
    calls = []

    def begun() -> Iterator[Any]:
        calls.append(1)
        yield from batches()

    trained(begun, epochs=3)
    assert len(calls) == 3, "what was looked at before the training is its first batch"


def test_epochs_may_differ_in_length() -> None:
    left = iter([4, 2, 3])
    _, history = trained(lambda: batches()[: next(left)], epochs=3)
    assert [row["steps"] for row in history.epochs] == [4, 2, 3]
    assert [row["examples"] for row in history.epochs] == [50, 32, 48]


def test_many_batches_without_a_length() -> None:
    (x, t), *_ = batches()
    _, history = trained(lambda: ((x, t) for _ in range(300)))
    assert len(history.step_losses) == 300 and np.isfinite(history.step_losses).all()


@pytest.mark.parametrize("stop_after", [2, 4, 5])
def test_a_loaders_training_goes_on_in_the_middle_of_an_epoch(stop_after: int) -> None:
    net = network()
    optimiser = sn.Adam(net, 0.01)
    made = []

    def stop(*step: Any) -> None:
        made.append(step[:2])
        if len(made) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        sn.fit(net, sn.CrossEntropyLoss(), optimiser, Dictionaries(), epochs=3, on_step=stop)
    history = stopped.value.history
    assert len(history.step_losses) == stop_after == optimiser.steps
    with pytest.warns(sn.ScratchnetWarning, match="its order is its own"):
        sn.fit(net, sn.CrossEntropyLoss(), optimiser, Dictionaries(), epochs=3, history=history)
    values, whole = trained(Dictionaries(), epochs=3)
    assert np.array_equal(net.store.values, values)
    assert history.step_losses == whole.step_losses and len(history.epochs) == 3


def test_a_whole_number_of_epochs_goes_on_without_a_warning() -> None:
    net = network()
    optimiser = sn.Adam(net, 0.01)
    history = sn.fit(net, sn.CrossEntropyLoss(), optimiser, batches(), epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sn.fit(net, sn.CrossEntropyLoss(), optimiser, batches(), epochs=3, history=history)
    assert np.array_equal(net.store.values, trained(batches(), epochs=3)[0])


@pytest.mark.parametrize("every", [1, 3])
def test_callbacks_see_the_multiples_and_the_last_step(every: int) -> None:
    seen: list[Any] = []
    trained(batches(), epochs=2, on_step=lambda *a: seen.append(a[:3]), steps_per_callback=every)
    steps = [(e, k) for e in range(2) for k in range(4)]
    wanted = [(e, k) for e, k in steps if (4 * e + k + 1) % every == 0 or k == 3]
    assert [s[:2] for s in seen] == wanted and {s[2] for s in seen} == {4}


VALID = {
    "arrays": examples,
    "batches": batches,
    "function": lambda: batches,
    "dictionaries": Dictionaries,
    "table": lambda: Table(*examples()),
}


@pytest.mark.parametrize("kind", VALID)
def test_validation_takes_the_same(kind: str) -> None:
    _, history = trained(batches(), epochs=2, valid=VALID[kind](), patience=5)
    _, expected = in_memory(2, valid=examples(), patience=5)
    for row, other in zip(history.rows, expected.rows, strict=True):
        assert row["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-12)
        assert row["valid_accuracy"] == pytest.approx(other["valid_accuracy"])


def test_a_generator_is_no_validation_set() -> None:
    with pytest.raises(sn.SettingError, match="valid is a list_iterator, which is exhausted after one passage"):
        trained(batches(), valid=without_len())


# ------------------------------------------------------- what keeps the seed's order


def test_a_table_keeps_the_order_of_the_seed() -> None:
    table = Table(*examples())
    values, history = trained(table, epochs=3, batch_size=SIZE, seed=5)
    expected, _ = trained(*examples(), epochs=3, batch_size=SIZE, seed=5)
    assert np.array_equal(values, expected) and "steps" not in history.last
    assert all(len(key) < N for key in table.asked if not isinstance(key, str)) or N <= 256


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_an_array_on_disk_trains_as_in_memory(dtype: str, tmp_path: Any) -> None:
    x, t = examples(600)
    x = (255 * (x - x.min()) / np.ptp(x)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", t)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r"), np.load(tmp_path / "t.npy", mmap_mode="r")
    options: dict[str, Any] = {"epochs": 2, "batch_size": SIZE, "seed": 3}
    values, history = trained(*mapped, **options, valid=mapped)
    expected, other = trained(x, t, **options, valid=(x, t))
    assert np.array_equal(values, expected) and history.rows[0] == other.rows[0]
    net = network()
    assert np.array_equal(net.predict(mapped[0]), net.predict(x))
    assert not [thread for thread in threading.enumerate() if "scratchnet-reader" in thread.name]


def test_an_array_on_disk_is_never_read_whole(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from scratchnet.engine import sources

    shape, largest = (20_000, 4), []
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)
    x[:] = 1
    read = sources.OnDisk.read

    def spy(self: Any, rows: np.ndarray) -> np.ndarray:
        largest.append(len(rows))
        return read(self, rows)

    monkeypatch.setattr(sources.OnDisk, "read", spy)
    t = np.zeros(len(x), int)
    trained(x, t, epochs=1, batch_size=100, valid=(x, t))
    assert max(largest) <= 1000 and sum(largest) >= len(x)


@pytest.mark.parametrize(("batch_size", "largest"), [(4, 64), (4, 8), (16, 8), (100, 8), (1, 4096)])
def test_large_examples_are_read_a_few_at_a_time(
    batch_size: int, largest: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scratchnet.engine import reading, sources

    monkeypatch.setattr(reading, "LARGEST", largest)
    asked = []
    read = sources.OnDisk.read
    monkeypatch.setattr(sources.OnDisk, "read", lambda self, rows: asked.append(len(rows)) or read(self, rows))
    np.save(tmp_path / "x.npy", examples(600)[0])
    t = examples(600)[1]
    values, _ = trained(np.load(tmp_path / "x.npy", mmap_mode="r"), t, batch_size=batch_size, advice=True)
    assert np.array_equal(values, trained(examples(600)[0], t, batch_size=batch_size)[0])
    assert max(asked) <= max(min(batch_size, 600), largest // 4)


def test_a_training_on_disk_goes_on_in_the_middle_of_an_epoch(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", examples()[0])
    x, t = np.load(tmp_path / "x.npy", mmap_mode="r"), examples()[1]
    net = network()
    optimiser = sn.Adam(net, 0.01)

    def stop(epoch: int, k: int, *_: Any) -> None:
        if (epoch, k) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        sn.fit(net, sn.CrossEntropyLoss(), optimiser, x, t, epochs=3, batch_size=SIZE, on_step=stop)
    assert not [thread for thread in threading.enumerate() if "scratchnet-reader" in thread.name]
    history = stopped.value.history
    sn.fit(net, sn.CrossEntropyLoss(), optimiser, x, t, epochs=3, batch_size=SIZE, history=history)
    expected, whole = trained(*examples(), epochs=3, batch_size=SIZE)
    assert np.array_equal(net.store.values, expected) and history.step_losses == whole.step_losses


def test_what_a_reader_raises_reaches_the_user() -> None:
    class Broken(Table):
        def __getitem__(self, key: Any) -> Any:
            if isinstance(key, list) and len(key) > 1:
                raise OSError(5, "the disk is broken", "disk")
            return super().__getitem__(key)

    with pytest.raises(OSError, match="the disk is broken"):
        trained(Broken(*examples()), batch_size=SIZE)


# ------------------------------------------------------------------------- mistakes

x, t = examples()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (x, "the target is missing"),
        ([], "x gave no batch: it is empty"),
        (5, r"x must be an array, or an iterable of batches \(x, target\).*, not 5"),
        ("abc", "x must be an array, or an iterable"),
        ({"x": x, "label": t}, "x must be an array, or an iterable"),
        ([x, t], "batch 0 of x must be a pair"),
        ([(x, t, t)], "batch 0 of x must be a pair"),
        ([(x, t), (x, t[:3])], r"batch 1 of x: .*as many targets as examples"),
        ([(x, t), ("a", t)], "x of batch 1 of x must be an array of numbers"),
        ([(x, t), (x, t + 3)], "label [345] is out of range"),
        ([(x, t), (x[:, :3], t)], "layer 0: .*Linear"),
        ([{"a": x, "b": t}], "of the columns a, b, it is not clear"),
        ([{"a": x, "b": x, "label": t}], "of the columns a, b, label, it is not clear"),
        ([{"label": t, "y": t, "x": x}], "it is not clear"),
        ([(x[0], 1), (x[0, :3], 1)], "differ in shape"),
    ],
)
def test_mistakes_are_said_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(sn.ScratchnetError, match=message) as error:
        trained(given, epochs=2)
    assert "\n" not in str(error.value)


def test_a_history_of_arrays_does_not_fit_a_loader() -> None:
    _, history = in_memory()
    with pytest.raises(sn.SettingError, match="that of a training on arrays"):
        trained(batches(), epochs=5, history=history)


def test_a_loader_that_cannot_begin_again() -> None:
    once = iter(batches())
    with pytest.raises(sn.DataError, match="gave 0 batches in epoch 2: can it begin again") as error:
        trained(lambda: once, epochs=3)
    assert len(error.value.history.epochs) == 1


def test_nan_in_a_later_batch_is_found_with_its_step() -> None:
    (x, t), *more = batches()
    with pytest.raises(sn.NonFiniteError, match="at step 2: already in the input"):
        trained([(x, t), (np.full_like(x, np.nan), t), *more])


def test_progress_of_a_loader_has_its_figures(capsys: pytest.CaptureFixture) -> None:
    trained(Dictionaries(), epochs=2, progress=True)
    assert "examples/s" in capsys.readouterr().err
