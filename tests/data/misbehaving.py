"""An https server on this machine that does whatever a server may do wrong.

There is one path for each behaviour.
"""

import contextlib
import gzip
import io
import socket
import ssl
import struct
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BODY = bytes(range(256)) * 1200  # 300 kB, more than one read


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.asked.append(self.path)
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client has left, as it should
            BEHAVIOURS[self.path.strip("/").split("/")[0]](self)

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, body: bytes, length: int | None = -1, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def wait(self, seconds: float = 30) -> None:
        self.server.closing.wait(seconds)


def stall(h: Handler) -> None:
    h.wait()


def stall_in_the_middle(h: Handler) -> None:
    h.reply(BODY[:100_000], len(BODY))
    h.wait()


def drip(h: Handler) -> None:
    h.reply(b"", len(BODY))
    for i in range(len(BODY)):
        h.wfile.write(BODY[i : i + 1])
        h.wait(0.05)
        if h.server.closing.is_set():
            return


def endless(h: Handler) -> None:
    h.reply(b"", None)
    while not h.server.closing.is_set():
        h.wfile.write(BODY)


def endless_chunks(h: Handler) -> None:
    h.reply(b"", None, Transfer_Encoding="chunked")
    while not h.server.closing.is_set():
        h.wfile.write(f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n")


def endless_headers(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not h.server.closing.is_set():
        h.wfile.write(b"X-More: yes\r\n" * 100)


def long_header(h: Handler) -> None:
    h.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1_000_000 + b"\r\n\r\n")


def garbage(h: Handler) -> None:
    h.wfile.write(b"\x00\xff" * 1000)


def bad_chunks(h: Handler) -> None:
    h.reply(b"", None, Transfer_Encoding="chunked")
    h.wfile.write(b"zz\r\n" + BODY[:1000])


def good_chunks(h: Handler) -> None:
    h.reply(b"", None, Transfer_Encoding="chunked")
    for i in range(0, len(BODY), 0x2800):
        h.wfile.write(b"2800\r\n" + BODY[i : i + 0x2800] + b"\r\n")
    h.wfile.write(b"0\r\n\r\n")


def reset_at_once(h: Handler) -> None:
    h.reset()


def reset_in_the_middle(h: Handler) -> None:
    h.reply(BODY[:100_000], len(BODY))
    h.reset()


def redirect(to: str) -> Callable[[Handler], None]:
    return lambda h: h.reply(b"elsewhere", status=302, Location=to)


def endless_redirect(h: Handler) -> None:
    """A redirect whose own body never ends."""
    h.send_response(302)
    h.send_header("Location", "/wrong-bytes")
    h.end_headers()
    while not h.server.closing.is_set():
        h.wfile.write(BODY)


def gated(h: Handler) -> None:
    """/gated/N: N bytes, then nothing until the gate opens.

    `half_way` says when they have been sent.
    """
    count = int(h.path.split("/")[2])
    h.reply(BODY[:count], len(BODY))
    h.wfile.flush()
    h.server.half_way.set()
    h.server.gate.wait(30)
    h.wfile.write(BODY[count:])


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme", "hello")
        archive.writestr(name, content)
    return out.getvalue()


FLIPPED = BODY[:1234] + bytes([BODY[1234] ^ 1]) + BODY[1235:]
HTML = b"<!doctype html><title>Sign in</title>" + b"<p>Please accept our terms.</p>" * 10

GOOD: dict[str, Callable[[Handler], None]] = {
    "good": lambda h: h.reply(BODY),
    "good-without-length": lambda h: h.reply(BODY, None),
    "good-chunks": good_chunks,
    "good-redirect": redirect("/good"),
    "good-gzip-name": lambda h: h.reply(BODY, Content_Encoding="x-gzip"),  # a server that mistakes .gz for an encoding
    "good.zip": lambda h: h.reply(zipped("file.bin", BODY)),
}
BAD: dict[str, Callable[[Handler], None]] = {
    "not-found": lambda h: h.reply(HTML, status=404),
    "forbidden": lambda h: h.reply(HTML, status=403),
    "server-error": lambda h: h.reply(b"", status=500),
    "unavailable": lambda h: h.reply(HTML, status=503, Retry_After="1000000"),
    "no-content": lambda h: h.reply(b"", status=204),
    "partial": lambda h: h.reply(BODY, status=206),
    "html": lambda h: h.reply(HTML),
    "html-of-right-size": lambda h: h.reply(HTML.ljust(len(BODY))),
    "html-without-length": lambda h: h.reply(HTML, None),
    "empty": lambda h: h.reply(b""),
    "wrong-bytes": lambda h: h.reply(b"x" * len(BODY)),
    "flipped-bit": lambda h: h.reply(FLIPPED),
    "too-short": lambda h: h.reply(BODY[:-1]),
    "too-long": lambda h: h.reply(BODY + b"x"),
    "too-long-without-length": lambda h: h.reply(BODY + b"x", None),
    "truncated": lambda h: h.reply(BODY[:100_000], len(BODY)),
    "nonsense-length": lambda h: h.reply(BODY, None, Content_Length="many"),
    "huge-length": lambda h: h.reply(BODY, 10**15),
    "gzip-encoded": lambda h: h.reply(gzip.compress(BODY), Content_Encoding="gzip"),
    "gzip-bomb": lambda h: h.reply(gzip.compress(bytes(10**8)), None, Content_Encoding="gzip"),
    "endless": endless,
    "endless-chunks": endless_chunks,
    "endless-headers": endless_headers,
    "long-header": long_header,
    "bad-chunks": bad_chunks,
    "garbage": garbage,
    "closes-at-once": lambda h: None,
    "reset-at-once": reset_at_once,
    "reset-in-the-middle": reset_in_the_middle,
    "stall": stall,
    "stall-in-the-middle": stall_in_the_middle,
    "drip": drip,
    "redirect-to-http": redirect("http://localhost/file.bin"),
    "redirect-to-file": redirect("file:///etc/hostname"),
    "redirect-loop": redirect("/redirect-loop"),
    "redirect-nowhere": lambda h: h.reply(b"", status=302),
    "redirect-with-endless-body": endless_redirect,
    "no-zip.zip": lambda h: h.reply(BODY),
    "other-member.zip": lambda h: h.reply(zipped("other.bin", BODY)),
    "wrong-member.zip": lambda h: h.reply(zipped("file.bin", FLIPPED)),
    "bomb.zip": lambda h: h.reply(zipped("file.bin", bytes(10**8))),
    "cut.zip": lambda h: h.reply(zipped("file.bin", BODY)[:-30]),
    "endless.zip": endless,
}
HANGS = {"stall", "stall-in-the-middle", "drip"}  # a limit of time must end them
BEHAVIOURS = GOOD | BAD | {"gated": gated}


class Server(ThreadingHTTPServer):
    """`url`: where it listens; `asked`: the paths requested; `trusted`: its authority's
    file.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        import trustme

        super().__init__(("127.0.0.1", 0), Handler)
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        self.trusted = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.trusted))
        self.url = f"https://localhost:{self.server_address[1]}/"
        self.asked: list[str] = []
        self.guard = threading.Lock()
        self.closing, self.half_way, self.gate = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        with (
            contextlib.suppress(OSError),  # the client does not trust the certificate, or has left
            self.context.wrap_socket(request, server_side=True) as secure,
        ):
            super().finish_request(secure, client_address)

    def stop(self) -> None:
        self.closing.set()
        self.gate.set()
        self.shutdown()
        self.server_close()
