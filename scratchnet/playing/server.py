"""HTTP on this machine alone: files of the page, and messages to the engine.

The standard library's server is enough here, and simpler to keep right than a
framework: a page asks one question at a time, and training is a question like any
other ("make steps for 30 ms"), so there are no streams, no sockets that stay open and
no threads that train while nobody looks.

Who may speak: requests from this machine, to the address that was printed (Host), from
the page itself (Origin), with the secret of the printed address (X-Token). A page of
another host can therefore neither ask anything nor read an answer, even if it makes its
name point to 127.0.0.1.
"""

import hmac
import json
import secrets
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scratchnet.errors import ScratchnetError
from scratchnet.playing.sessions import Sessions, TooMany

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Every file of the page; nothing else can be asked for
FILES = {path.relative_to(PAGE).as_posix(): path for path in sorted(PAGE.rglob("*")) if path.suffix in KINDS}

LARGEST = 64 * 1024  # bytes of a message: a drawing takes 4 kB
SECONDS = 10.0  # to wait for a request that has begun
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves `sessions` on 127.0.0.1. Raises OSError if the port is taken; 0: any."""

    daemon_threads = True  # the end of the program is the end of every answer
    block_on_close = False
    request_queue_size = 64

    def __init__(self, sessions: Sessions, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.sessions, self.token = sessions, secrets.token_urlsafe(18)
        self.origin = f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/?token={self.token}"

    def server_bind(self) -> None:
        """Without the base class's look-up of the host's name, which can take long."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Refused(Exception):
    """An HTTP status, and a line for whoever asked."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm would hold back small answers, for 40 ms each
    disable_nagle_algorithm = True
    timeout = SECONDS
    server_version, sys_version = "scratchnet", ""

    def do_GET(self) -> None:
        try:
            self._check_host()
            url = urlsplit(self.path)
            name = url.path.removeprefix("/")
            if not name:
                self._check_token(parse_qs(url.query).get("token", [""])[0])
                name = "index.html"
            if name not in FILES:
                raise Refused(404, "there is no such file")
            path = FILES[name]
            self._send(200, path.read_bytes(), f"{KINDS[path.suffix]}; charset=utf-8")
        except Refused as e:
            self._refuse(e)
        except ValueError:  # of a URL that is none
            self._refuse(Refused(400, "this is not an address"))

    def do_POST(self) -> None:
        try:
            # a body that is refused is not read, so that the connection cannot go on
            self._check_host()
            if self.headers.get("Origin") != self.server.origin:
                raise Refused(403, "only the page itself may send messages")
            self._check_token(self.headers.get("X-Token", ""))
            if self.path not in ("/open", "/ask", "/close"):
                raise Refused(404, "there is no such address")
            message = self._message()
            self._send_json(200, self._answer(message))
        except Refused as e:
            self._refuse(e)
        except TooMany as e:
            self._send_json(503, {"error": str(e)})
        except ScratchnetError as e:
            # the request was right; the engine's answer is a line for the reader
            self._send_json(200, {"error": str(e)})
        except (ConnectionError, TimeoutError):
            raise
        # a fault of this program: it is told here, and the server goes on
        except Exception:
            traceback.print_exc()
            self._send_json(500, {"error": "this is a fault of scratchnet: the terminal says more"})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        sessions = self.server.sessions
        if self.path == "/open":
            return {"session": sessions.open()}
        if self.path == "/close":
            sessions.close(message.get("session"))
            return {}
        return sessions.get(message.get("session")).answer(message)

    def _check_host(self) -> None:
        if self.headers.get("Host") != self.server.origin.removeprefix("http://"):
            raise Refused(403, "this server answers under the printed address alone")

    def _check_token(self, token: str) -> None:
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise Refused(403, "open the address that the terminal shows, with its token")

    def _message(self) -> dict[str, Any]:
        """The JSON object in the body. Raises Refused."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit() and len(length) < 20):
            raise Refused(411, "a message needs a Content-Length")
        if int(length) > LARGEST:
            raise Refused(413, f"a message may have {LARGEST // 1024} kB")
        body = self.rfile.read(int(length))
        try:
            message = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise Refused(400, "the message is not JSON") from None
        if not isinstance(message, dict):
            raise Refused(400, "a message is a JSON object")
        return message

    def _send_json(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        self._send(status, body.encode("utf-8", "replace"), "application/json")

    def _refuse(self, e: Refused) -> None:
        self.close_connection = True
        self._send(e.status, f"{e}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
