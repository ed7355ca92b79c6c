"""The benchmarks: all engines train the same network; what the reports say.

No time is tested.
"""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import commits, engines, growth, hidden_report, hidden_sweep, isa, peers, special_cases, threads, timing
from benchmarks.engines import ENGINES, Missing, build
from benchmarks.hidden_report import Point, crossover
from benchmarks.timing import Limits, Spread
from benchmarks.workloads import WORKLOADS, book
from scratchnet.errors import SettingError
from tests.profiles import quick_first

NEEDS = {"PyTorch eager": "torch", "JAX jit": "jax"}


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["scratchnet compiled", "textbook NumPy", "PyTorch eager", "JAX jit"])
@pytest.mark.parametrize(
    "workload", ["book 200", "zero-to-gans", "two-hidden", "fcn2", "cnn", "lstm batch 1", "tweets"]
)
def test_every_engine_trains_the_same_network(workload: str, rival: str) -> None:
    if rival in NEEDS and importlib.util.find_spec(NEEDS[rival]) is None:
        pytest.skip(f"{rival} is not installed")
    work = WORKLOADS[workload]
    start = build("scratchnet numpy", work).weights()
    try:
        theirs = build(rival, work)
    except Missing as e:
        pytest.skip(str(e))
    ours = build("scratchnet numpy", work)
    ours(3)
    theirs(3)
    for before, a, b in zip(start, ours.weights(), theirs.weights(), strict=True):
        assert np.any(a != before)
        np.testing.assert_allclose(a.ravel(), b.ravel(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", [name for name, (_, _, device) in ENGINES.items() if device == "cuda"])
def test_an_engine_without_its_gpu_is_missing_with_a_reason(engine: str) -> None:
    from scratchnet.backend.devices import cuda_problem

    if cuda_problem() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(Missing, match=r"GPU|CuPy|installed"):
        build(engine, book(20))


def test_products_of_a_workload() -> None:
    assert WORKLOADS["two-hidden"].products() == [(100, 784, 128, 1), (50, 100, 128, 1), (10, 50, 128, 1)]
    assert WORKLOADS["cnn"].products()[:2] == [(6, 16, 64 * 25 * 25, 1), (16, 24, 64 * 12 * 12, 1)]
    assert WORKLOADS["lstm batch 32"].products() == [(400, 1, 32 * 12, 1), (400, 100, 32, 12), (1, 100, 32, 1)]


def test_interleave_takes_turns_and_leaves_out_the_warm_up() -> None:
    calls: list[str] = []

    def a(n: int) -> None:
        calls.append("a")

    def b(n: int) -> None:
        calls.append("b")

    times = timing.interleave({"a": a, "b": b}, rounds=5, steps={"a": 10, "b": 10})
    assert "".join(calls) == "aabb" + "ab" * 5 or "".join(calls).endswith("ab" * 5)
    assert times.keys() == {"a", "b"}
    assert all(t.low <= t.median <= t.high for t in times.values())


def test_a_run_in_another_process_says_its_own_seconds() -> None:
    times = timing.interleave({"here": lambda n: None, "there": lambda n: 5.0}, rounds=3)
    assert times["there"] == Spread(5.0, 5.0, 5.0)
    assert times["here"].median < 5.0


@pytest.mark.slow
def test_every_library_is_held_to_avx2_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    env = isa.environment("avx2")
    assert {name: env[name] for name in isa.AVX2} == isa.AVX2
    assert isa.environment("native")["OPENBLAS_CORETYPE"] == "SkylakeX"
    chosen = [str(core) for core in timing.idle_cores(1)]
    process = timing.Process(
        "benchmarks.peers", "--engine", "scratchnet numpy", "predict 1 image", "1", *chosen, env=env
    )
    ready = json.loads(process.answer())
    assert 0 < process(2) < 10
    process.end()
    assert "AVX512" not in ready["reports"]["NumPy's loops"]
    assert "X86_V4" not in ready["reports"]["NumPy's loops"]
    kernels = [words for library, words in ready["reports"].items() if library.startswith("openblas")]
    assert set(kernels) <= {"Haswell"}


@pytest.mark.slow
def test_two_commits_take_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (commits.HERE / ".git").exists():
        pytest.skip("this is no clone")
    words = ["--workloads", "predict 1 image", "--pairs", "1", "--out", str(tmp_path)]
    assert commits.main(["HEAD", *words]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| predict"))
    assert 0.2 < float(row.split("|")[4]) < 5  # the same code, however busy the machine
    with pytest.raises(SettingError, match="nowhere cannot be checked out"):
        commits.main(["nowhere", *words])


@pytest.mark.slow
def test_the_products_of_jax_are_held_too() -> None:
    pytest.importorskip("jax")
    words = "benchmarks.peers", "--engine", "JAX jit", "predict 1 image", "1"
    process = timing.Process(*words, env=isa.environment("avx2"))
    ready = json.loads(process.answer())
    process.end()
    assert ready["reports"]["JAX's products"] in ("AVX2 at most", "not YNNPACK's")


@pytest.mark.parametrize(
    "program", ["print('{}', flush=True); input(); import os; os.abort()", "import os; os.abort()"]
)
def test_an_engine_whose_process_ends_is_left_out(program: str, tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text(program)
    process = timing.Process("gone", env=dict(os.environ) | {"PYTHONPATH": str(tmp_path)})
    assert "exit code -6" in peers.first_words(process)["missing"]
    process.end()


@pytest.mark.slow
def test_an_engine_that_cannot_says_why() -> None:
    process = timing.Process("benchmarks.peers", "--engine", "JAX scan", "predict 1 image", "1")
    assert "training" in json.loads(process.answer())["missing"] or not importlib.util.find_spec("jax")
    process.end()


def test_the_exponent_of_a_power_is_fitted() -> None:
    sizes = (100, 200, 400)
    assert growth.exponent(sizes, [3e-6 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert growth.exponent((1, 2, 4), [8.0, 4.0, 2.0]) == pytest.approx(-1)
    assert {axis.name for axis in growth.axes()} == {"H", "batch", "N", "T", "cores"}


def test_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_floor_is_the_larger_of_moving_and_computing() -> None:
    limits = Limits(bandwidth=1e10, flops=1e11, launch=0.0)
    moved, operations = hidden_sweep.work_of(1000, 1)
    assert moved == 2 * 4 * 794_000
    assert limits.floor(moved, operations) == moved / 1e10
    _, many = hidden_sweep.work_of(1000, 1024)
    assert limits.floor(moved, many) == many / 1e11


@pytest.mark.parametrize(
    ("cpu", "gpu", "words"),
    [
        ([1, 10, 100], [5, 5, 5], "pays off from about H = 616 (between 200 and 1000)"),
        ([1, 2, 3], [5, 5, 5], "does not pay off up to H = 5000"),
        ([9, 9, 9], [5, 5, 5], "pays off at every H measured, from 200"),
        ([9, 4, 9], [5, 5, 5], "between 1000 and 5000"),
    ],
)
def test_crossover_in_words(cpu: list[float], gpu: list[float], words: str) -> None:
    assert words in crossover([200, 1000, 5000], cpu, gpu, "H")


def points(*engines: tuple[str, str, float]) -> list[Point]:
    return [
        Point(
            name,
            device,
            1,
            hidden,
            batch,
            Spread(*(t * (hidden / 1000) ** power for t in (1e-3, 0.9e-3, 1.2e-3))),
            1e-4,
        )
        for name, device, power in engines
        for hidden in (200, 1000, 5000)
        for batch in (1, 32)
    ]


@pytest.mark.slow
def test_report_with_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(hidden_sweep, "device_name", lambda points: "NVIDIA Test GPU and Some(R) CPU")
    some = points(("scratchnet numpy", "cpu", 1.0), ("scratchnet cupy", "cuda", 0.1))
    hidden_sweep.report(some, {}, [{}], hidden_sweep.Options(out=tmp_path))
    said = capsys.readouterr().out
    assert "on this machine the GPU pays off from about H = 1000" in said
    assert "published: GPU, K80" in said
    assert "362 s" in said
    content = json.loads((tmp_path / "hidden_sweep-Test-GPU-and-Some.json").read_text())
    assert len(content["points"]) == len(some)
    assert content["sampled"] is True
    assert (tmp_path / "hidden_sweep-Test-GPU-and-Some.png").stat().st_size > 10_000


def test_the_published_headline_is_a_row_beside_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    some = points(("textbook NumPy", "cpu", 1.0), ("PyTorch eager", "cpu", 0.5))
    assert hidden_report.published_ratio() == pytest.approx(1.91, abs=0.01)
    assert hidden_report.book_ratios(some) == {1: pytest.approx({200: 5**0.5, 1000: 1.0, 5000: 5**-0.5})}
    (said,) = hidden_report.book_words(some)
    assert "2.24 times as fast as PyTorch at H = 200, 1.00 times" in said and "(published: 1.91 at H = 200" in said
    hidden_report.print_tables(some, False)
    shown = capsys.readouterr().out
    assert "PyTorch / textbook, 1 thread" in shown and "published: PyTorch / NumPy" in shown
    assert not hidden_report.book_ratios(points(("PyTorch eager", "cpu", 0.5)))


def test_report_by_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = [
        dataclasses.replace(p, examples=n)
        for n in (1000, 60_000)
        for p in points(("scratchnet numpy", "cpu", 1.0), ("PyTorch eager", "cpu", 0.5))
        if p.batch == 1 and p.hidden < 5000
    ]
    options = hidden_sweep.Options(out=tmp_path, examples=(1000, 60_000))
    hidden_sweep.report(some, {}, [{}], options)
    said = capsys.readouterr().out
    assert "784-1000-10, 794,000 weights, batch 1" in said and "60,000 examples" in said
    assert "60 times the examples take 60 times as long (time ~ N^1.00)" in said
    (path,) = tmp_path.glob("examples-*.json")
    assert json.loads(path.read_text())["points"][-1]["examples"] == 60_000
    assert path.with_suffix(".png").stat().st_size > 10_000


def test_a_run_goes_on_where_it_stopped() -> None:
    """So that many examples are many also to a run that is timed in short turns."""
    seen: list[int] = []
    trainer = engines.Trainer([(k,) for k in range(5)], seen.append)
    trainer(3)
    trainer(4)
    assert seen == [0, 1, 2, 3, 4, 0, 1]
    assert len(book(20, 10, 200).batches()) == 20 and len(book(20).batches()) == 8
    assert len(book(20, 100, 60_000).batches()) == 100, "10,000 examples at most"


def test_report_of_peers(tmp_path: Path) -> None:
    slow, fast = Spread(2e-3, 1e-3, 3e-3), Spread(1e-3, 1e-3, 1e-3)
    memory = {name: {"peak": peak} for name, peak in zip(peers.IN_MEMORY, (90.0, 60.0, 300.0), strict=True)}
    steps = {peers.READABLE: fast, peers.PRODUCTS: fast, "JAX jit": slow}
    row = peers.Row("book 200", 1, steps, memory, {})
    both = dataclasses.replace(row, steps=steps | {peers.COMPILED: Spread(5e-4, 4e-4, 6e-4)})
    table = peers.markdown([row, both], list(peers.PEERS))
    assert "| book 200 | 1,000 | – | – | – | 2,000 (2.00) | – | – | – | 100% | 60 (300) |" in table
    assert "| book 200 | 500 | 1,000 (2.00) | – | – | 2,000 (4.00) | – | – | – | 100% | 90 (300) |" in table
    assert "memory" not in peers.markdown([dataclasses.replace(row, memory={})], list(peers.PEERS))
    everybody = dataclasses.replace(both, steps=both.steps | dict.fromkeys(peers.PEERS, slow))
    peers.draw([row, everybody], [*peers.OURS, peers.PRODUCTS, *peers.PEERS], "cpu", tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("file", "args", "words"),
    [
        ("hidden_sweep", ["--device", "cuda"], "--device cuda needs a GPU"),
        ("hidden_sweep", ["--hidden", "0"], "--hidden must be whole numbers from 1"),
        ("hidden_sweep", ["--examples", "0"], "--examples must be whole numbers from 1"),
        ("hidden_sweep", ["--steps", "-1"], "--steps"),
        ("hidden_sweep", ["--threads", "many"], "--threads many"),
        ("hidden_sweep", ["--engines", "scratchnet nunpy"], "did you mean scratchnet numpy"),
        ("peers", ["--workloads", "bok 200"], "did you mean book 200"),
        ("peers", ["--threads", "0"], "--threads 0"),
        ("threads", ["--workloads", "cn"], "did you mean cnn"),
        ("sprint", ["--engines", "JAXX"], "did you mean JAX"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    file: str, args: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_command
) -> None:
    from scratchnet.backend.devices import cuda_problem

    if "cuda" in args and cuda_problem() is None:
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    done = as_command(importlib.import_module(f"benchmarks.{file}").main, *args, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("slowed", [1.0, 1.2])
def test_one_core_and_all_cores_in_turn(
    slowed: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Process:
        taken = 1

        def __init__(self, child: str, workload: str, cores: str) -> None:
            self.seconds = 1e-3 * (slowed if made else 1)
            made.append(int(cores))

        def __call__(self, n: int) -> float:
            return self.seconds

        def end(self) -> None:
            ended.append(self)

    made, ended = list[int](), list[Process]()
    monkeypatch.setattr(threads, "Process", Process)
    assert threads.main(["--workloads", "cnn", "--out", str(tmp_path)]) == 0
    assert made == [1, timing.cores()] and len(ended) == 2
    said = capsys.readouterr().out
    assert f"| cnn | 1,000.0 | {1000 * slowed:,.1f} | {slowed:.2f} ({slowed:.2f} to {slowed:.2f}) | 1 |" in said
    assert f"in three turns of four: {'none' if slowed == 1 else 'cnn'}" in said
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["rows"][0]["ratio"]["median"] == pytest.approx(slowed)


@pytest.mark.slow
def test_a_process_makes_steps_when_it_is_told_to() -> None:
    process = threads.Process("--child", "predict 1 image", "1")
    assert process.taken == 1 and 0 < process(2) < 10
    process.end()
    assert process.child.returncode == 0
    with pytest.raises(ChildProcessError, match=r"nothing 1 ended"):
        threads.Process("--child", "nothing", "1")


@pytest.mark.slow
@pytest.mark.parametrize("call", quick_first(threads.CALLS, 1))
def test_a_call_outside_fit_with_no_threads_set_and_with_one(call: str) -> None:
    row = threads.measure_outside(call, "thread", 2, 3, rounds=2)
    assert row.call == call and row.one.median > 0 and row.free.median > 0


def test_thread_count() -> None:
    assert timing.thread_count("all") == timing.cores()
    assert timing.thread_count("1") == 1
    with pytest.raises(SettingError):
        timing.thread_count("-1")


@pytest.mark.parametrize("name", special_cases.CASES)
def test_a_special_case_and_steps_without_it(name: str) -> None:
    case = special_cases.CASES[name]
    runs = special_cases.runs_of(case, case.workloads[0])
    owner = special_cases.owner_of(case)
    kept = getattr(*owner)
    assert kept is not case.without
    with special_cases.without(case):
        assert getattr(*owner) is case.without
    for run in runs.values():
        run(1)
    assert getattr(*owner) is kept


@pytest.mark.parametrize("library", ["NumPy", "PyTorch"])
def test_every_library_multiplies_the_same_matrices(library):
    from benchmarks.products import product_of

    if library == "PyTorch":
        pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    W, a = rng.random((3, 5), np.float32), rng.random((4, 5), np.float32).T
    np.testing.assert_allclose(product_of(library, W, a, threads=1)(), W @ a, rtol=1e-5)
