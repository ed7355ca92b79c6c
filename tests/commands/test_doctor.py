"""The doctor finds what is there, says how to get what is not, and never fails."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratchnet
from scratchnet import doctor
from scratchnet.doctor import examine
from scratchnet.errors import install_command
from scratchnet.examining import datasets, gpu, processor, versions
from scratchnet.examining.findings import BAD, GOOD, NOTE, Line
from tests.places import ROOT
from tests.profiles import quick_first


def by_name(lines):
    return {line.name: line for line in lines}


def run_doctor(script="", **environment):
    """(exit code, stdout, stderr) of the command, after running `script` in its
    process.
    """
    code = f"{script}\nimport runpy; runpy.run_module('scratchnet.doctor', run_name='__main__')"
    env = {k: v for k, v in os.environ.items() if not k.startswith("SCRATCHNET")} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=env,
                          encoding="utf-8", timeout=120)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    return tmp_path


def test_the_whole_report():
    code, out, err = run_doctor()
    assert code == 0 and err == ""
    for title in doctor.SECTIONS:
        assert f"\n{title}\n" in out
    assert scratchnet.__version__ in out and np.__version__ in out
    assert "built in" in out and "digits" in out


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.mark.parametrize(
    "names",
    quick_first(
        [["numpy", "scipy", "rich", "pooch", "cupy"], ["numpy"], ["rich"], ["scipy", "threadpoolctl"], ["pooch"]], 1
    ),
)
def test_whatever_is_missing(names):
    code, out, err = run_doctor(BLOCK.format(names=names))
    assert code == 0 and err == ""
    assert "Versions" in out and "Data" in out and "Traceback" not in out
    if "numpy" in names:
        assert "→ pip install numpy" in out and BAD in out


@pytest.mark.slow
def test_a_terminal_without_unicode():
    code, out, err = run_doctor(PYTHONIOENCODING="ascii")
    assert code == 0 and err == "" and "Versions" in out


@pytest.mark.slow
def test_without_a_single_variable_or_program(tmp_path):
    code, out, err = run_doctor("import os; os.environ.clear()")
    assert code == 0 and err == "" and "$SCRATCHNET_DATA is not set" in out


def test_a_probe_that_fails_is_a_line():
    def half_done():
        yield Line(GOOD, "first", "fine")
        raise RuntimeError("the second\nbroke")

    assert examine(half_done) == [
        Line(GOOD, "first", "fine"),
        Line(BAD, "half done", "cannot be examined: RuntimeError: the second"),
    ]


def test_versions(monkeypatch):
    installed = {"numpy": "2.3.0", "rich": None, "torch": None}
    real = versions.version_of
    monkeypatch.setattr(versions, "version_of", lambda name: installed[name] if name in installed else real(name))
    lines = by_name(examine(versions.versions))
    assert lines["numpy"].mark == BAD and "!=2.3.0" in lines["numpy"].mend
    assert lines["rich"] == Line(BAD, "rich", "missing (progress bars and tables)", "pip install rich")
    assert lines["torch"].mark == NOTE and lines["torch"].mend == install_command("test")
    assert lines["scipy"].mark == GOOD
    assert doctor.verdict({"Versions": list(lines.values())}).endswith(": numpy, rich.")


def test_requirements_are_those_of_the_project():
    tomllib = pytest.importorskip("tomllib")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {line.split(">")[0].split("!")[0].split(";")[0].strip() for line in wanted}
    assert set(versions.REQUIRED) == names


def test_processor():
    lines = by_name(examine(processor.processor))
    assert lines["CPU"].finding and int(lines["cores"].finding.split()[0]) >= 1


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="no load average on this system")
@pytest.mark.parametrize("load, mark", [(0.0, GOOD), (1e4, NOTE)])
def test_a_busy_machine_is_said(load, mark, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    line = by_name(examine(processor.processor))["load average"]
    assert line.mark == mark and ("unsteady" in line.mend) == (mark == NOTE)


def test_blas(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    lines = examine(processor.blas)
    assert any("threads" in line.finding for line in lines[:-1])
    assert "OMP_NUM_THREADS=3" in lines[-1].finding and all(line.mark != BAD for line in lines)


def test_no_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "nvidia_smi", list)
    monkeypatch.setattr(gpu, "version_of", lambda name: None)
    assert examine(gpu.gpu) == [Line(NOTE, "GPU", "no NVIDIA GPU found; everything runs on the CPU (--device cpu)")]


def test_a_gpu_without_cupy(monkeypatch):
    monkeypatch.setattr(gpu, "nvidia_smi", lambda: ["Some GPU, 80 GiB, 570"])
    monkeypatch.setattr(gpu, "version_of", lambda name: None)
    monkeypatch.setattr("scratchnet.backend.devices.cuda_problem", lambda: "CuPy is not installed (no): pip install x")
    lines = by_name(examine(gpu.gpu))
    assert lines["GPU"].mark == GOOD
    assert lines["--device cuda"] == Line(BAD, "--device cuda", "CuPy is not installed (no)", "pip install x")


def test_two_cupys(monkeypatch):
    monkeypatch.setattr(gpu, "nvidia_smi", list)
    monkeypatch.setattr(gpu, "version_of", lambda name: "14.2" if name.startswith("cupy-cuda1") else None)
    line = by_name(examine(gpu.gpu))["CuPy"]
    assert line.mark == BAD and "cupy-cuda12x 14.2 and cupy-cuda13x 14.2" in line.finding


def test_data_that_is_not_here(home):
    lines = by_name(examine(datasets.data))
    assert lines["data folder"].mark == NOTE and lines["cache folder"].mark == GOOD
    assert lines["mnist"].mark == NOTE and str(home / "cache" / "mnist") in lines["mnist"].mend


def test_data_in_the_folder_and_in_the_cache(home, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(home / "data"))
    assert by_name(examine(datasets.data))["data folder"].mark == BAD  # it does not exist yet
    for folder, files in {
        home / "data" / "mnist": [f"{name}.gz" for name in datasets.IDX],
        home / "cache" / "fashion-mnist": [*datasets.IDX[:3], f"{datasets.IDX[3]}.gz"],
        home / "data" / "cifar-10": ["data_batch_1.bin"],
    }.items():
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).touch()
    lines = by_name(examine(datasets.data))
    assert lines["data folder"].mark == GOOD
    assert lines["mnist"] == Line(GOOD, "mnist", str(home / "data" / "mnist"))
    assert lines["fashion-mnist"] == Line(GOOD, "fashion-mnist", str(home / "cache" / "fashion-mnist"))
    assert lines["cifar-10"].mark == NOTE  # its test file is missing


def test_a_cache_that_cannot_be_written(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("SCRATCHNET_CACHE", str(home / "file" / "cache"))
    line = by_name(examine(datasets.data))["cache folder"]
    assert line.mark == BAD and "SCRATCHNET_CACHE" in line.mend


def test_the_data_sets_that_are_downloaded_are_those_of_the_loaders():
    from scratchnet.data import cifar, mnist, wheat

    for name, files in mnist.FILES.items():
        assert {f"{n}.gz" for n in datasets.DATASETS[name][0]} == {file[0] for file in files}
    assert datasets.whole(Path("/nowhere"), [])
    assert [f"{n}.gz" for n in datasets.DATASETS["cifar-10"][0]] == [cifar.ARCHIVE.name]
    assert datasets.DATASETS["cifar-10"][2][0].startswith(f"{cifar.FOLDER}/")
    assert datasets.DATASETS["wheat-seeds"] == [[wheat.FILE.name]]


@pytest.mark.slow
def test_lesser_kernels_of_openblas_are_named_with_their_cost():
    if processor.speed_of_products({"OPENBLAS_CORETYPE": None}) is None:
        pytest.skip("this BLAS does not say which kernels it has")
    lines = by_name(processor.kernels())["BLAS kernels"]
    assert "GFLOP/s" in lines.finding
    if processor.speed_of_products({"OPENBLAS_CORETYPE": "Nehalem"})[0] != "Nehalem":
        pytest.skip("this OpenBLAS has the kernels of one processor")
    code, out, _ = run_doctor(OPENBLAS_CORETYPE="Nehalem")
    text = " ".join(out.split())
    assert code == 0 and "for Nehalem: " in text and "OPENBLAS_CORETYPE=Nehalem; without it for " in text
    assert "→ unset OPENBLAS_CORETYPE" in out


@pytest.mark.parametrize(
    ("architecture", "flags", "wanted"),
    [
        ("SkylakeX", {"avx2", "avx512f"}, None),
        ("Haswell", {"avx2", "avx512f"}, "AVX-512"),
        ("Zen", {"avx2"}, None),
        ("Prescott", {"avx2"}, "AVX2"),
        ("Prescott", {"sse3"}, None),
        ("ARMV8", set(), None),
    ],
)
def test_what_the_processor_has_and_the_kernels_do_not_use(architecture, flags, wanted):
    assert processor.unused(architecture, flags) == wanted
