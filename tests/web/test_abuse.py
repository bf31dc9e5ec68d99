"""Hostile and disconnecting clients: passwords, connections, disk use and work."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import dfer_prompts
from dfer_prompts import Workspace

from ..model import tiny
from ..prompts.forks import Forks
from .calls import ask, call, events, opened_session, upload
from .server import Server, serving

SMALL = ["frames=4", "contexts=2", "epochs=1", "batch_size=4", "lr_image=0", "milestones=[1]", "workers=0"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, processes: Forks) -> Iterator[Server]:
    """Asks for no password, takes uploads of 1 MiB, and has one run."""
    folder = tmp_path_factory.mktemp("served")
    clips = tiny.pack(folder / "packed")
    dfer_prompts.train("v1@2", dataset=clips, clip="demo", overrides=SMALL, workspace=Workspace(folder))
    with serving(folder, "--max-upload", "1", processes=processes) as started:
        yield started


def watching(server: Server, path: str, faces: str = "none: whole frames") -> list[Any]:
    """What the button Predict is given for an upload."""
    (run,) = (server.workspace / "runs").iterdir()
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return [run.name, file, faces, "the largest face", 0, 0, False]


def join(server: Server, body: bytes) -> int:
    return ask(server, "/gradio_api/queue/join", "POST", body, content_type="application/json")[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"])
def test_a_url_is_not_fetched_in_any_json_encoding(server: Server, encoding: str) -> None:
    remote = {"path": "http://127.0.0.1:1/x.mp4", "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [remote], "fn_index": 0, "session_hash": "x"})
    assert join(server, body.encode()) == 403
    assert join(server, body.encode(encoding)) == (403 if encoding == "utf-7" else 400)
    assert join(server, b" \n" + body.encode(encoding)) == (403 if encoding == "utf-7" else 400)


@pytest.mark.parametrize("body", [b"", b"x", b"data=1", b'{"data": ["' + b"\xff" + b'"]}', b"[" * 200_000])
def test_a_request_that_is_not_json_is_refused(server: Server, body: bytes) -> None:
    assert join(server, body) == 400


def test_a_duplicate_json_key_is_read_once(server: Server) -> None:
    twice = b'{"data": [], "fn_index": 0, "session_hash": "x", "session_hash": "y"}'
    assert join(server, twice) == 200
    assert ask(server, "/gradio_api/cancel", "POST", b"{}", content_type="application/json")[0] == 422


@pytest.mark.parametrize("header", ["host", "origin"])
@pytest.mark.parametrize("value", ["[", "]", "[::1", "http://["])
def test_an_invalid_host_or_origin_is_refused(server: Server, header: str, value: str) -> None:
    assert ask(server, "/", **{header: value})[0] in (400, 403, 421)
    assert ask(server, "/", host="[")[0] == 400


def test_equal_uploads_are_stored_separately(server: Server) -> None:
    stored = [Path(json.loads(upload(server, b"no video")[1])[0]) for _ in range(2)]
    assert stored[0] != stored[1]
    answer = call(server, opened_session(server), "Predict", *watching(server, str(stored[0])))
    assert answer
    assert "problem" in answer[0]
    assert not stored[0].parent.exists()
    assert stored[1].read_bytes() == b"no video"
    stored[1].unlink()
    stored[1].parent.rmdir()


def test_the_total_size_of_uploads_is_limited(server: Server) -> None:
    stored: list[str] = []
    for _ in range(7):
        status, body = upload(server, b"a" * 2**20)
        stored += json.loads(body) if status == 200 else []
    assert (len(stored), status) == (4, 507)  # a form is larger than the file in it
    assert ask(server, "/")[0] == 200
    session = opened_session(server)
    for each in stored:
        assert call(server, session, "Predict", *watching(server, each))
    assert upload(server, b"a" * 2**20)[0] == 200


def test_an_aborted_upload_is_deleted(server: Server) -> None:
    (files,) = server.files.glob("dfer-prompts-*")
    before = set(files.rglob("*"))
    head = b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500000\r\n"
    head += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    head += b'Content-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n' + b"a" * 200_000
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head)
        wait_for(lambda: set(files.rglob("*")) > before)  # a part of the upload is on disk
    wait_for(lambda: set(files.rglob("*")) == before)
    assert set(files.rglob("*")) == before


def test_half_open_connections_do_not_block_others(server: Server) -> None:
    opened = []
    for _ in range(400):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        opened.append(connection)
    assert ask(server, "/")[0] == 200
    for connection in opened[:200]:  # those that waited longest had to go
        assert is_closed(connection)
    for connection in opened:
        connection.close()
    assert ask(server, "/")[0] == 200


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def wait_for(what: Any) -> None:
    """Until it is so; a server that does not get there fails the test."""
    for _ in range(400):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def long_video(path: Path, frames: int = 40_000) -> Path:
    """One grey picture all the time; to look for faces in it takes longer than a test waits."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        packets = []
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts = number
            packets += stream.encode(frame)
        packets += stream.encode(None)
        unchanged, base = bytes(packets[2]), packets[2].time_base
        container.mux(packets[:2])
        for number in range(2, frames):  # encoding each of them would take long too
            packet = av.Packet(unchanged)
            packet.stream, packet.time_base = stream, base
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def test_work_stops_when_the_client_disconnects(server: Server, tmp_path: Path) -> None:
    content = long_video(tmp_path / "long.mkv").read_bytes()
    (stored,) = json.loads(upload(server, content, "long.mkv")[1])
    (event,) = (number for number, kind, words in events(server) if (kind, words) == ("click", "Predict"))
    session = opened_session(server)
    given = watching(server, stored, "Haar cascade")
    body = {"data": given, "fn_index": event, "session_hash": session}
    assert join(server, json.dumps(body).encode()) == 200
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    answer = connection.getresponse()
    while b"detecting faces" not in answer.readline():
        assert Path(stored).exists()
    answer.close()
    connection.close()
    wait_for(lambda: not Path(stored).exists())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, processes: Forks) -> Iterator[Server]:
    """Asks for a password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "accounts").write_text("ada:an open sesame\n")
    (folder / "workspace").mkdir()
    with serving(folder / "workspace", "--auth", str(folder / "accounts"), processes=processes) as started:
        yield started


def login(server: Server, password: str) -> tuple[int, dict[str, str]]:
    body = urllib.parse.urlencode({"username": "ada", "password": password}).encode()
    kind = "application/x-www-form-urlencoded"
    status, headers, _ = ask(server, "/login", "POST", body, content_type=kind)
    return status, headers


def test_the_login_page_discloses_nothing(guarded: Server, server: Server) -> None:
    status, _, body = ask(guarded, "/")
    assert status == 200
    assert b'"auth_required"' in body
    inside = ask(server, "/")[2]
    for word in (b"named_endpoints", b"parameter_name", b"/answers", str(guarded.workspace).encode()):
        assert word not in body
    assert b"named_endpoints" in inside  # or the page itself could call nothing


def test_wrong_passwords_are_logged_and_blocked_after_ten(guarded: Server) -> None:
    assert login(guarded, "an open sesame")[0] == 200
    given: list[int] = []
    threads = [
        threading.Thread(
            target=lambda number: given.append(login(guarded, f"guess {number}")[0]), args=[each]
        )
        for each in range(14)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == [400] * 10 + [429] * 4
    status, headers = login(guarded, "an open sesame")
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= 600
    code, output = guarded.stop()
    assert code == 130
    lines = [line for line in output.splitlines() if "wrong password from 127.0.0.1" in line]
    assert len(lines) == 10
    assert "blocked for" in lines[-1]
    assert "ada" not in "".join(lines)
    assert "guess" not in output
    assert "Traceback" not in output


def test_the_log_stays_short(server: Server) -> None:
    code, output = server.stop()
    assert code == 130
    assert len(output) < 2000, output
