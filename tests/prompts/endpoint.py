"""A real HTTP server on loopback that speaks chat completions and `/models`, with failures on demand.

    with serve() as endpoint:
        endpoint.script = lambda body, earlier: Reply(status=500) if earlier < 3 else None

`script` sees a request's body and how often the same body came before; None means the ordinary answer.
`raw`, `reset`, `cut`, `endless`, `stalled` and `slow` are the failures of a connection, for `Reply.write`.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FEATURES = (
    "furrowed eyebrows",
    "narrow eyes",
    "tightened lips",
    "flared nostrils",
    "raised cheeks",
    "an open mouth",
    "a wrinkled nose",
    "a raised chin",
)


@dataclass(frozen=True)
class Reply:
    """One answer of the server: a status, a body (JSON unless it is text), headers, and how long it takes.

    `write` puts bytes on the connection in place of all that; the connection is closed after it.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"retry-after-ms": "5"})
    delay: float = 0.0
    write: Callable[[socket.socket], None] | None = None


@dataclass
class FakeEndpoint:
    """Behaviour of the server, and the requests it received."""

    base_url: str = ""
    models: list[str] = field(default_factory=lambda: ["tiny"])
    api_key: str | None = None  # None: no key is required
    latency: float = 0.0
    script: Callable[[dict[str, Any], int], Reply | None] = lambda body, earlier: None
    models_reply: Reply | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)  # bodies of all requested completions
    answered: list[dict[str, Any]] = field(default_factory=list)  # those answered completely
    authorizations: list[str | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)  # of every request, names in lower case
    paths: list[str] = field(default_factory=list)
    concurrent: int = 0
    max_concurrent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.requests]


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion as OpenAI's API answers it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60},
    }


def features_for(body: dict[str, Any]) -> list[str]:
    """Seven features that depend on the prompt and the seed, and on nothing else."""
    start = sum(map(ord, body["messages"][0]["content"])) + body.get("seed", 0)
    return [FEATURES[(start + i) % len(FEATURES)] for i in range(7)]


def ordinary(body: dict[str, Any]) -> Reply:
    return Reply(completion("Sure, here are some:\n" + "\n".join(f"- {each}" for each in features_for(body))))


def head(*fields: str, kind: str = "application/json") -> bytes:
    """The start of an answer with status 200, up to the empty line."""
    return "\r\n".join(["HTTP/1.1 200 OK", f"content-type: {kind}", *fields, "", ""]).encode()


def raw(body: bytes, *fields: str, kind: str = "application/json") -> Reply:
    """These bytes as the body, with their length unless a header field is given."""
    sent = fields or (f"content-length: {len(body)}",)
    return Reply(write=lambda connection: connection.sendall(head(*sent, kind=kind) + body))


def chunked(body: bytes, size: int = 7) -> Reply:
    """The body in chunks of HTTP's own, as servers send it that do not know its length beforehand."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return raw(encoded, "transfer-encoding: chunked")


def reset(body: bytes) -> Reply:
    """Half of the body, then the connection is reset."""

    def write(connection: socket.socket) -> None:
        connection.sendall(head(f"content-length: {len(body)}") + body[: len(body) // 2])
        time.sleep(0.02)  # a reset overtakes what lies unread at the other end
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(connection.detach())

    return Reply(write=write)


def cut(body: bytes) -> Reply:
    """Half of the body, then an orderly end of the connection."""
    return raw(body[: len(body) // 2], f"content-length: {len(body)}")


def endless(start: bytes = b"", rest: bytes = b" " * 65536, pause: float = 0.0) -> Reply:
    """A body that goes on until the client closes the connection."""

    def write(connection: socket.socket) -> None:
        connection.sendall(head() + start)
        while True:
            connection.sendall(rest)
            time.sleep(pause)

    return Reply(write=write)


def stalled(body: bytes) -> Reply:
    """Half of the body, then nothing more, until the client closes the connection."""

    def write(connection: socket.socket) -> None:
        connection.sendall(head(f"content-length: {len(body)}") + body[: len(body) // 2])
        connection.recv(1)

    return Reply(write=write)


def slow(body: bytes, pieces: int = 20, pause: float = 0.02) -> Reply:
    """The whole body, a little at a time."""
    size = -(-len(body) // pieces)

    def write(connection: socket.socket) -> None:
        connection.sendall(head(f"content-length: {len(body)}"))
        for start in range(0, len(body), size):
            connection.sendall(body[start : start + size])
            time.sleep(pause)

    return Reply(write=write)


@contextmanager
def serve() -> Iterator[FakeEndpoint]:
    """The server, in threads of this process, until the block ends."""
    endpoint = FakeEndpoint()
    server = _Server(endpoint)
    endpoint.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, endpoint: FakeEndpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    @property
    def endpoint(self) -> FakeEndpoint:
        return self.server.endpoint

    def do_GET(self) -> None:
        self._note()
        models = [{"id": name, "object": "model"} for name in self.endpoint.models]
        listing = Reply({"object": "list", "data": models})
        self._send(self._refused() or self.endpoint.models_reply or listing)

    def do_POST(self) -> None:
        self._note()
        length = int(self.headers["content-length"])
        text = self.rfile.read(length)
        if len(text) < length:  # the client was killed while sending
            return
        body = json.loads(text)
        with self.endpoint.lock:
            earlier = self.endpoint.requests.count(body)
            self.endpoint.requests.append(body)
            self.endpoint.concurrent += 1
            self.endpoint.max_concurrent = max(self.endpoint.max_concurrent, self.endpoint.concurrent)
        reply = self._refused() or self.endpoint.script(body, earlier) or ordinary(body)
        time.sleep(self.endpoint.latency + reply.delay)
        with self.endpoint.lock:
            self.endpoint.concurrent -= 1
        if self._send(reply) and reply.status == 200:
            with self.endpoint.lock:
                self.endpoint.answered.append(body)

    def _note(self) -> None:
        with self.endpoint.lock:
            self.endpoint.paths.append(self.path)
            self.endpoint.authorizations.append(self.headers.get("authorization"))
            self.endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})

    def _refused(self) -> Reply | None:
        if self.endpoint.api_key in (None, (self.headers.get("authorization") or "").removeprefix("Bearer ")):
            return None
        echo = f"Incorrect API key provided: {self.headers.get('authorization')}"
        return Reply({"error": {"message": echo, "code": "invalid_api_key"}}, status=401)

    def _send(self, reply: Reply) -> bool:
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        kind = "text/html" if isinstance(reply.body, str) else "application/json"
        try:
            if reply.write:
                self.close_connection = True
                reply.write(self.connection)
                return True
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:  # the client was killed
            return False
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass
