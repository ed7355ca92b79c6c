"""The page's server: who may speak, what is refused, and that it stays alive."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scratchnet.playing import server as module
from scratchnet.playing.digits import Digits
from scratchnet.playing.server import FILES, LARGEST, PAGE, Server
from scratchnet.playing.sessions import Sessions, TooMany
from tests.places import HEEDS_CTRL_C, PATIENCE
from tests.profiles import quick_first


def request(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str | None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """A request as the page makes it, with other headers where they are given."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    usual: dict[str, str | None] = {"Host": server.origin.removeprefix("http://")}
    if method == "POST":
        usual |= {"X-Token": server.token, "Origin": server.origin}
    chosen = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {name: v for name, v in chosen.items() if v is not None})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def post(server: Server, path: str, message: Any, **headers: str | None) -> tuple[int, Any]:
    status, body, _ = request(server, "POST", path, json.dumps(message).encode(), **headers)
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body.decode()


def opened(server: Server) -> str:
    status, answer = post(server, "/open", {})
    assert status == 200
    return answer["session"]


def alive(server: Server) -> bool:
    return request(server, "GET", "/style.css")[0] == 200


def test_the_page_and_its_files(server: Server) -> None:
    status, body, headers = request(server, "GET", f"/?token={server.token}")
    assert status == 200 and b"<!doctype html>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name, path in FILES.items():
        status, body, headers = request(server, "GET", f"/{name}")
        assert status == 200 and body == path.read_bytes()
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_every_module_that_the_page_imports_is_there() -> None:
    for path in PAGE.glob("*.js"):
        for name in re.findall(r'from "\./([\w.]+)"', path.read_text(encoding="utf-8")):
            assert name in FILES, f"{path.name} imports {name}"


def test_the_page_names_no_other_host() -> None:
    for path in PAGE.iterdir():
        addresses = re.findall(r"https?://[\w.]+", path.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org"}, path.name  # the name of SVG, which nobody loads


def test_a_message_is_answered(server: Server) -> None:
    session = opened(server)
    status, answer = post(server, "/ask", {"session": session, "view": "digits", "do": "open"})
    assert status == 200 and len(answer["p"]) == 10


def test_two_tabs_do_not_see_each_other(server: Server) -> None:
    one, two = opened(server), opened(server)
    edit = {"view": "digits", "do": "edit", "layer": 0, "parameter": "bias", "index": [0], "value": 9.0}
    changed = post(server, "/ask", {"session": one, **edit})[1]
    other = post(server, "/ask", {"session": two, "view": "digits", "do": "open"})[1]
    assert changed["selected"]["bias"] == 9 != other["selected"]["bias"]


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token=%00", "/?token=%e9%ff"])
def test_without_the_token_there_is_no_page(server: Server, path: str) -> None:
    status, body, _ = request(server, "GET", path)
    assert status == 403 and b"terminal" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Token": "wrong"},
        {"X_Token": None},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "localhost"},
        {"Host": ""},
    ],
)
def test_strangers_are_refused(server: Server, headers: dict[str, str | None]) -> None:
    status, _ = post(server, "/open", {}, **headers)
    assert status == 403
    assert len(server.sessions) == 0 and alive(server)


def test_a_foreign_host_gets_no_file(server: Server) -> None:
    assert request(server, "GET", "/main.js", Host="evil.example")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../server.py", "/%2e%2e/server.py", "//etc/passwd", "/index.html/..", "/nothing", "http://[/", "/main.js/"],
)
def test_only_files_of_the_page_can_be_had(server: Server, path: str) -> None:
    status, body, _ = request(server, "GET", path)
    assert status in (400, 403, 404) and len(body) < 100


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    assert request(server, method, "/")[0] == 501
    assert alive(server)


def test_a_body_of_100_mb_is_refused_unread(server: Server) -> None:
    status, body, _ = request(server, "POST", "/ask", b"", Content_Length=str(100 * 2**20))
    assert status == 413 and f"{LARGEST // 1024} kB".encode() in body
    assert alive(server)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b"\xff\xfe",
        b'{"a": NaN}',
        b"[" * 30_000,
        b'{"a": ' + b"9" * 9000 + b"}",
    ],
)
def test_what_is_no_message_is_refused(server: Server, body: bytes) -> None:
    session_free, text, _ = request(server, "POST", "/ask", body)
    assert session_free == 400 and text
    assert alive(server)


def test_a_body_without_a_length_is_refused(server: Server) -> None:
    status, _, _ = request(server, "POST", "/ask", b"", Content_Length="-1")
    assert status == 411
    status, _, _ = request(server, "POST", "/ask", b"0\r\n\r\n", Transfer_Encoding="chunked", Content_Length=None)
    assert status == 411


def test_many_tabs_are_refused_and_the_others_go_on(server: Server) -> None:
    answers = [post(server, "/open", {}) for _ in range(50)]
    assert sorted({status for status, _ in answers}) == [200, 503]
    assert sum(status == 200 for status, _ in answers) == 8
    assert "close one" in answers[-1][1]["error"]
    session = answers[0][1]["session"]
    assert post(server, "/ask", {"session": session, "view": "digits", "do": "open"})[0] == 200
    assert post(server, "/close", {"session": session})[0] == 200
    assert post(server, "/open", {})[0] == 200
    assert "load the page" in post(server, "/ask", {"session": session, "view": "digits", "do": "open"})[1]["error"]


def test_idle_sessions_end() -> None:
    sessions = Sessions({}, most=1, idle=0.0)
    first = sessions.open()
    second = sessions.open()
    assert first != second and len(sessions) == 1
    with pytest.raises(TooMany):
        full = Sessions({}, most=1)
        full.open()
        full.open()


def test_random_messages_find_no_fault(server: Server, thorough: bool) -> None:
    """No answer is 500, which would be a fault of this program."""
    rng = np.random.default_rng(0)
    session = opened(server)
    values = [None, True, -1, 0, 1, 3, 10**30, 0.5, -1e308, "", "weight", "adam", "relu", [], [0], [1, 2], [0, 0, 0, 0],
              [1] * 784, {}, [[1]], "\ud800", "output", "gradient", [3], 783]  # fmt: skip
    names = ["pixels", "label", "centre", "layer", "unit", "what", "index", "parameter", "value", "steps", "ms",
             "first", "rate", "batch", "optimiser", "hidden", "activation", "seed", "given", "number"]  # fmt: skip
    found = set()
    for _ in range(1000 if thorough else 250):
        message: dict[str, Any] = {"session": session, "view": "digits", "do": str(rng.choice(Digits.ACTIONS))}
        for name in rng.choice(names, rng.integers(0, 12), replace=False):
            message[str(name)] = values[rng.integers(len(values))]
        if rng.random() < 0.1:
            message[str(rng.choice(["session", "view", "do"]))] = values[rng.integers(len(values))]
        status, answer = post(server, "/ask", message)
        assert status == 200, (message, answer)
        found.add("error" in answer)
    assert found == {False, True}
    assert alive(server)


def test_a_fault_is_told_and_the_server_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(Digits, "sample", lambda self, message: 1 / 0)
    session = opened(server)
    status, answer = post(server, "/ask", {"session": session, "view": "digits", "do": "sample"})
    assert status == 500 and "fault of scratchnet" in answer["error"]
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert alive(server)


def test_messages_of_one_tab_wait_for_each_other(server: Server) -> None:
    session = opened(server)
    answers: list[int] = []

    def train() -> None:
        for _ in range(5):
            ask = {"session": session, "view": "digits", "do": "train", "steps": 3}
            answers.append(post(server, "/ask", ask)[1]["steps"])

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(3, 61, 3))


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert module.HEADERS["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_with_a_word(tmp_path: Path) -> None:
    env = os.environ | {"SCRATCHNET_CACHE": str(tmp_path), "SCRATCHNET_DATA": ""}
    command = [*HEEDS_CTRL_C, "scratchnet.play", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert "has learnt" in first and "scratchnet draws itself" in first
    assert re.fullmatch(r"Open http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}\n", second)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "ended" in out and not err


@pytest.mark.parametrize(
    "args, says",
    quick_first(
        [(["--port", "70000"], "65535"), (["nothing.safetensors"], "nothing.safetensors"), (["--browse"], "--browser")],
        1,
    ),
)
def test_mistakes_are_one_line(args: list[str], says: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scratchnet.play", "--no-browser", *args]
    env = os.environ | {"SCRATCHNET_CACHE": str(tmp_path), "SCRATCHNET_DATA": ""}
    result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=PATIENCE)
    assert result.returncode == 2 and says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    from scratchnet.engine.layers import Linear, ReLU, Sequential
    from scratchnet.errors import CheckpointError
    from scratchnet.play import opened
    from scratchnet.playing.taught import Pictures

    net = Sequential(Linear(784, 5), ReLU(), Linear(5, 10), seed=1)
    net.info = {"input": {"shape": [784], "scale": 2 / 255, "shift": -1.0}, "classes": list("ABCDEFGHIJ")}
    net.save(tmp_path / "own.safetensors")
    model = opened(tmp_path / "own.safetensors")
    assert model.classes == tuple("ABCDEFGHIJ") and "own.safetensors" in model.about
    one = np.zeros((2, 28, 28), np.uint8)
    digits = Digits(model, Pictures("blank", one, np.array([0, 1]), one, np.array([0, 1])))
    picture = digits.open({})
    np.testing.assert_allclose(picture["p"], net.predict_proba(-np.ones((1, 784)))[0], rtol=1e-5)

    other = Sequential(Linear(3, 2))
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="28 x 28"):
        opened(tmp_path / "other.safetensors")
