"""A hub of HuggingFace's on loopback, as far as datasets and models of small files go.

It answers what huggingface_hub sends to make one, commit regular files to it and read them by commit;
large files (LFS, Xet), branches other than main, and pull requests are not its business.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


@dataclass
class Dataset:
    """Commits, oldest first: each an id and all files."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1]
        return next((each for each in self.commits if each[0] == revision), None)

    def commit(self, files: dict[str, bytes]) -> str:
        name = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits.append((name, files))
        return name


@dataclass
class FakeHub:
    """What a test sees: the datasets, the requests, and what the next answers should be."""

    url: str = ""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    models: dict[str, Dataset] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, authorization
    failing: dict[str, int] = field(default_factory=dict)  # a part of a path: the status it gets
    sizes: dict[str, int] = field(default_factory=dict)  # file: the size it is said to have
    broken: bool = False  # answers are cut off

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        found = self.datasets[repo].at(revision)
        assert found is not None
        return found[1]

    def files_of_model(self, repo: str) -> dict[str, bytes]:
        return self.models[repo].commits[-1][1]

    def put(self, repo: str, **files: bytes) -> str:
        """A commit of another person's, with these files and no others."""
        named = {name.replace("__", "."): data for name, data in files.items()}
        return self.datasets.setdefault(repo, Dataset(False, [])).commit(named)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub
    repos: dict[str, Dataset]  # those of the kind that is asked for

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization", "")
        self.hub.requests.append((self.command, path, authorization))
        for part, status in self.hub.failing.items():
            if part in path:
                return self._json({"error": f"no \x1b[2J for {authorization}"}, status)
        if path == "/api/validate-yaml":
            return self._json({"warnings": []})
        if path == "/api/repos/create":
            return self._create(authorization)
        if found := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/([a-z-]+)/(.+))?", path):
            self.repos = self.hub.datasets if found[1] == "datasets" else self.hub.models
            return self._dataset(found[2], found[3] or "revision", found[4] or "main", authorization)
        if found := re.fullmatch(r"(/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.repos = self.hub.datasets if found[1] else self.hub.models
            return self._resolve(found[2], found[3], found[4], authorization)
        return self._json({"error": "no such thing"}, 404)

    def _create(self, authorization: str) -> None:
        if authorization != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        body = json.loads(self.body)
        kind = body.get("type") or "model"
        repos, under = (self.hub.models, "") if kind == "model" else (self.hub.datasets, "datasets/")
        repo = f"{body['organization']}/{body['name']}"
        status = 409 if repo in repos else 200
        private = body.get("visibility") == "private" or bool(body.get("private"))
        repos.setdefault(repo, Dataset(private, [("0" * 40, {".gitattributes": b""})]))
        return self._json({"url": f"{self.hub.url}/{under}{repo}"}, status)

    def _dataset(self, repo: str, verb: str, revision: str, authorization: str) -> None:
        dataset = self._readable(repo, authorization)
        if dataset is None:
            return self._missing("RepoNotFound")
        found = dataset.at(revision)
        if found is None:
            return self._missing("RevisionNotFound")
        commit, files = found
        if verb == "revision":
            siblings = [{"rfilename": name} for name in files]
            return self._json(
                {
                    "id": repo,
                    "_id": "1",
                    "sha": commit,
                    "private": dataset.private,
                    "siblings": siblings,
                    "tags": [],
                }
            )
        if verb == "paths-info":
            asked = parse_qs(self.body.decode())["paths"]
            return self._json([self._file(name, files[name]) for name in asked if name in files])
        return self._write(repo, verb, dataset, found, authorization)

    def _write(
        self, repo: str, verb: str, dataset: Dataset, head: tuple[str, dict[str, bytes]], authorization: str
    ) -> None:
        if authorization != f"Bearer {TOKEN}":
            return self._json({"error": "read only"}, 403)
        if verb == "preupload":
            listed = [each["path"] for each in json.loads(self.body)["files"]]
            return self._json(
                {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in listed]}
            )
        assert verb == "commit"
        return self._commit(repo, dataset, dict(head[1]), head[0])

    def _commit(self, repo: str, dataset: Dataset, files: dict[str, bytes], head: str) -> None:
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header" and value.get("parentCommit", head) != head:
                return self._json({"error": "A commit has happened since."}, 412)
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if item["key"] == "deletedFile":
                del files[value["path"]]
        made = dataset.commit(files)
        url = f"{self.hub.url}/datasets/{repo}/commit/{made}"
        return self._json({"success": True, "commitOid": made, "commitUrl": url})

    def _resolve(self, repo: str, revision: str, name: str, authorization: str) -> None:
        dataset = self._readable(repo, authorization)
        found = dataset.at(revision) if dataset else None
        if found is None or name not in found[1]:
            return self._missing("EntryNotFound" if found else "RepoNotFound")
        data = found[1][name]
        headers = {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        return self._send(200, data, "application/octet-stream", headers)

    def _readable(self, repo: str, authorization: str) -> Dataset | None:
        dataset = self.repos.get(repo)
        hidden = dataset is not None and dataset.private and authorization != f"Bearer {TOKEN}"
        return None if hidden else dataset

    def _file(self, name: str, data: bytes) -> dict[str, Any]:
        size = self.hub.sizes.get(name, len(data))
        return {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(data).hexdigest()}

    def _missing(self, code: str) -> None:
        self._send(404, b"{}", "application/json", {"X-Error-Code": code, "X-Error-Message": code})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", {})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        if self.hub.broken:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if self.hub.broken else data)


@contextmanager
def serve() -> Iterator[FakeHub]:
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
