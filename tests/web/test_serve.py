"""`serve` over plain HTTP: routes, access, escaping, start and stop."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts import Workspace, load
from dfer_prompts.versions.edit import as_text
from dfer_prompts.web.server import Address

from ..cli.test_train import Terminal
from ..prompts.forks import Forks
from .calls import ask, call, file, upload
from .server import Server, fill, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, processes: Forks) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served") / "workspace"
    with serving(fill(folder), "--max-upload", "1", processes=processes) as started:
        yield started


def test_content_security_policy_allows_only_this_origin(server: Server) -> None:
    status, headers, body = ask(server, "/")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["connect-src"].removesuffix(" blob:") == "'self'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"
    nonce = re.search("'nonce-(.+?)'", policy["script-src"])
    assert nonce
    scripts = re.findall(rb"<script[^>]*>", body)
    assert scripts
    assert all(nonce[1].encode() in each for each in scripts)
    again = ask(server, "/")[1]["content-security-policy"]
    assert nonce[1] not in again
    sources = re.findall(rb'(?:src|href)="([^"]+)"', body)
    assert not [each for each in sources if re.match(rb"(https?:)?//", each)]


OUTSIDE = ["/etc/passwd", "{workspace}/.env", "{workspace}/descriptions/hostile/manifest.yaml"]
WAYS = [
    "/gradio_api/file={path}",
    "/gradio_api/file/{path}",
    "/gradio_api/file={files}/../..{path}",
    "/file={path}",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", OUTSIDE)
def test_files_outside_the_upload_folder_are_not_served(server: Server, way: str, path: str) -> None:
    (files,) = server.files.glob("dfer-prompts-*")
    named = path.format(workspace=server.workspace)
    assert Path(named).is_file()
    status, _, body = ask(server, way.format(path=named, files=files))
    assert status in (403, 404)
    assert Path(named).read_bytes() not in body


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/proxy=http://127.0.0.1:1/x",
        "/gradio_api/vibe-code",
        "/gradio_api/run-history/buckets",
        "/gradio_api/token",
        "/gradio_api/info",
        "/gradio_api/runs",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/docs",
        "/pwa_icon",
    ],
)
def test_unused_gradio_routes_are_closed(server: Server, path: str) -> None:
    assert ask(server, path)[0] in (403, 404)


def test_uploads_can_be_read_back_and_are_limited_in_size(server: Server) -> None:
    status, body = upload(server, b"a" * 2**19, "../../../climbs.mp4")
    (stored,) = json.loads(body)
    assert status == 200
    assert Path(stored).resolve().is_relative_to(server.files.resolve())
    assert ask(server, f"/gradio_api/file={stored}")[2] == b"a" * 2**19
    assert upload(server, b"a" * (2**20 + 1))[0] == 413
    assert upload(server, b"a" * 2**22)[0] == 413
    assert upload(server, b"a" * 2**20)[0] == 200
    long = json.dumps({"data": ["a" * 2**22]}).encode()
    assert ask(server, "/gradio_api/queue/join", "POST", long, content_type="application/json")[0] == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:9000"}, 200),  # a tunnel
        ({"host": "elsewhere.example"}, 421),  # a name that was turned to this computer
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # a link that is followed
    ],
)
def test_requests_of_other_sites_are_refused(server: Server, headers: dict[str, str], status: int) -> None:
    assert ask(server, "/", **headers)[0] == status


def test_another_port_is_another_origin(server: Server) -> None:
    own, other = f"http://127.0.0.1:{server.port}", "http://127.0.0.1:1"
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": "x"}).encode()
    kind = {"content_type": "application/json"}
    assert ask(server, "/gradio_api/queue/join", "POST", body, origin=own, **kind)[0] == 200
    assert ask(server, "/gradio_api/queue/join", "POST", body, origin=other, **kind)[0] == 403


def watching(path: str) -> list[Any]:
    """What the button Predict is given for a file."""
    return ["0-fold1-seed1", file(path), "automatic", "the largest face", 0, 0, False]


def test_playlists_are_refused_and_uploads_deleted(server: Server, session: str) -> None:
    (stored,) = json.loads(upload(server, b"#EXTM3U\n#EXTINF:1,\n/etc/x.ts\n", "list.m3u8")[1])
    answer = call(server, session, "Predict", *watching(stored))
    assert answer
    assert "list.m3u8 is a playlist" in answer[0]
    assert not Path(stored).exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/video.mp4", "FTP://elsewhere.example/x"])
def test_a_path_that_was_not_uploaded_is_refused(server: Server, session: str, path: str) -> None:
    assert call(server, session, "Predict", *watching(path)) is None
    found = call(server, session, "Show difference", file(path), "v1")  # where no file belongs at all
    assert found is None
    assert not [each for each in server.files.rglob("*") if each.name in ("passwd", "video.mp4")]


def test_a_file_outside_the_upload_folder_is_refused_and_kept(tmp_path: Path) -> None:
    from dfer_prompts.web.predict_tab import answering

    files, mine = tmp_path / "files", tmp_path / "mine.mp4"
    files.mkdir()
    mine.write_bytes(b"a video")
    answers = answering(Workspace(tmp_path), files)
    for path in (mine, files / ".." / "mine.mp4"):
        run, _, *how = watching("")
        ((answer, evidence, _),) = answers(run, str(path), *how)
        assert "mine.mp4 was not uploaded" in answer
        assert evidence == ""
    assert mine.exists()


@pytest.mark.parametrize("name", ["../../etc", "..", "/etc", "runs/../../x", "v1/../../descriptions"])
def test_names_that_are_paths_are_refused(server: Server, session: str, name: str) -> None:
    for button, data in (
        ("Show difference", (name, "v1")),
        ("Show report", (name,)),
        ("Check", (name, "happiness: [x]")),
        ("Save as new version", ("v1", "happiness: [x]", name, "")),
    ):
        answer = call(server, session, button, *data)
        assert answer is None or "problem" in answer[0]
    assert sorted(each.name for each in (server.workspace / "descriptions").iterdir()) == ["hostile"]


def test_foreign_text_is_escaped(server: Server, session: str) -> None:
    hostile = as_text(load("hostile", Workspace(server.workspace)))
    changed = hostile.replace("- fear eyes", "- fear <u onclick=x>")
    for button, data in (
        ("Show difference", ("v1", "hostile")),
        ("Show difference", ("hostile", "v1")),
        ("Check", ("hostile", changed)),
        ("Check", ("hostile", hostile.replace("fear:", "<u>:"))),
        ("Save as new version", ("hostile", changed, "<u>", "<u>")),
    ):
        answer = call(server, session, button, *data)
        assert answer
        assert not re.search(r"<(script|img|u)[\s>]", answer[0])
        assert re.search(r"&lt;(script|img|u)", answer[0])


def test_a_report_is_in_a_sandboxed_frame(server: Server, session: str) -> None:
    answer = call(server, session, "Show report", "0123456789ab")
    assert answer
    page, *downloads = answer
    (frame,) = re.findall(r"<iframe[^>]*>", page)
    assert 'sandbox=""' in frame
    assert page.count("<") == 2  # the frame's own tag, and its end: the report is in an attribute
    urls = [each["value"]["path"] for each in downloads]
    assert [each.rsplit(".", 1)[1] for each in urls] == ["html", "md", "tex"]
    status, headers, body = ask(server, f"/gradio_api/file={urls[0]}")
    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert b"v1@4" in body
    assert not list((server.workspace / "comparisons").rglob("report.*"))


def test_the_server_connects_to_no_other_computer(server: Server, session: str) -> None:
    assert call(server, session, "Show difference", "v1", "hostile")
    assert server.called() == set()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A server that does not begin: what it says."""

    def say(*options: object) -> str:
        _, output = Terminal(monkeypatch, capsys)("serve", *options, status=2)
        return output

    return say


def test_a_taken_port_is_an_error_that_names_a_free_one(server: Server, serve: Callable[..., str]) -> None:
    first, second = serve("--port", server.port).splitlines()
    assert first == f"Error: port {server.port} of 127.0.0.1 is taken"
    free = int(second.removeprefix("The next free port: dfer-prompts serve --port "))
    assert server.port < free <= server.port + 20
    with socket.socket() as one:
        one.bind(("127.0.0.1", free))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--auth", "ada:sesame"), "--auth must be an existing file"),
        (("--auth", "empty"), "--auth empty holds no account"),
        (("--auth", "wrong"), "--auth wrong, line 2 is not NAME:PASSWORD"),
        (("--auth", "latin"), "--auth latin is not text in UTF-8"),
    ],
)
def test_invalid_accounts_are_errors_of_two_lines(
    serve: Callable[..., str], options: tuple[str, ...], says: str
) -> None:
    Path("empty").write_text("\n")
    Path("wrong").write_text("ada:x\nsesame\n")
    Path("latin").write_bytes(b"ada:sesam\xe9\n")
    output = serve(*options)
    assert output.startswith(f"Error: {says}")
    assert len(output.splitlines()) <= 2
    assert "sesame" not in output


def test_a_public_address_is_warned_about(
    server: Server, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--host", "0.0.0.0", "--port", server.port)  # which is taken
    printed = serve(*where)
    assert "Warning: 0.0.0.0 is open to other computers" in printed
    assert "NO PASSWORD" in printed
    assert f"ssh -L {server.port}:127.0.0.1:{server.port}" in printed
    monkeypatch.setenv("DFER_PROMPTS_AUTH", "ada:sesame")
    printed = serve(*where)
    assert "Warning: 0.0.0.0 is open to other computers" in printed
    assert "NO PASSWORD" not in printed


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_readable_password_file_is_warned_about(
    server: Server, serve: Callable[..., str], mode: int, warns: bool
) -> None:
    Path("accounts").write_text("ada:sesame\n")
    Path("accounts").chmod(mode)
    output = serve("--auth", "accounts", "--port", server.port)  # which is taken
    assert ("Warning: other users of this computer can read or change accounts" in output) == warns
    assert ("chmod 600 accounts" in output) == warns


@pytest.mark.parametrize(
    ("host", "is_loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:80/"),
        ("localhost", True, "http://localhost:80/"),
        ("::1", True, "http://[::1]:80/"),
        ("127.3.2.1", True, "http://127.3.2.1:80/"),
        ("0.0.0.0", False, "http://0.0.0.0:80/"),
        ("::", False, "http://[::]:80/"),
        ("192.168.1.2", False, "http://192.168.1.2:80/"),
        ("localhost.example", False, "http://localhost.example:80/"),
    ],
)
def test_loopback_addresses(host: str, is_loopback: bool, url: str) -> None:
    address = Address(host, 80)
    assert (address.is_loopback, address.url) == (is_loopback, url)


def test_missing_gradio_is_an_error_that_names_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    _, output = Terminal(monkeypatch, capsys)("serve", status=2)
    assert output.splitlines()[-1] == "Install it: pip install 'dfer-prompts[web]'"
