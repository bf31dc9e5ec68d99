"""YuNet's file is downloaded once from a server, stored by hash, and refused with another hash."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dfer_model.errors import InputError, WorkError
from dfer_model.video.detect import cache_folder, fetch_yunet, fetched_yunet

CONTENT = b"what a network weighs" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Zoo(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        found = self.path == "/yunet.onnx"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(CONTENT if found else b"nothing here")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def zoo() -> Iterator[str]:
    Zoo.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Zoo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_file_is_downloaded_once(zoo: str) -> None:
    assert fetched_yunet() is None
    path = fetch_yunet(url=f"{zoo}/yunet.onnx", sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert fetch_yunet(url=f"{zoo}/yunet.onnx", sha256=SHA256) == fetched_yunet() == path
    assert Zoo.asked == ["/yunet.onnx"]


def test_a_file_with_another_hash_is_refused(zoo: str) -> None:
    with pytest.raises(WorkError, match=f"its sha256 is {SHA256}\nCopy .*--face-model"):
        fetch_yunet(url=f"{zoo}/yunet.onnx")
    assert fetched_yunet() is None
    assert list(cache_folder().iterdir()) == []


def test_no_file_and_no_server(zoo: str) -> None:
    with pytest.raises(InputError, match=r"cannot be downloaded: .*\nCopy"):
        fetch_yunet(url=f"{zoo}/other.onnx", sha256=SHA256)
    with pytest.raises(InputError, match=r"cannot be downloaded: .*\nCopy"):
        fetch_yunet(url="http://127.0.0.1:9/yunet.onnx", sha256=SHA256)
