"""Requests to a server of the page, and calls of its functions."""

from __future__ import annotations

import http.client
import json
import uuid
from typing import Any

from .server import Server


def ask(
    server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the path goes as it is written, `..` and all."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()


def events(server: Server, given: int | None = None) -> list[tuple[int, str, str]]:
    """Of each function, or each that is given so much: its number, what sets it off, the words on that."""
    config = json.loads(ask(server, "/config")[2])
    props = {each["id"]: each["props"] for each in config["components"]}
    return [
        (each["id"], kind, str(props.get(target, {}).get("value")))
        for each in config["dependencies"]
        for target, kind in each["targets"]
        if given in (None, len(each["inputs"]))
    ]


def call(server: Server, session: str, event: int | str, *data: Any) -> list[Any] | None:
    """What a function answers, by its number or the words on its button; None where it failed."""
    if isinstance(event, str):
        (event,) = (number for number, kind, words in events(server) if (kind, words) == ("click", event))
    body = json.dumps({"data": data, "fn_index": event, "session_hash": session}).encode()
    status, _, _ = ask(server, "/gradio_api/queue/join", "POST", body, content_type="application/json")
    if status != 200:
        return None
    _, _, stream = ask(server, f"/gradio_api/queue/data?session_hash={session}")
    output = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: ")]
    (last,) = (each for each in output if each["msg"] == "process_completed")
    return last["output"]["data"] if last["success"] else None


def upload(server: Server, content: bytes, name: str = "clip.mp4") -> tuple[int, bytes]:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n'
        b"Content-Type: video/mp4\r\n\r\n" + content + b"\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    status, _, body = ask(server, "/gradio_api/upload", "POST", form, content_type=kind)
    return status, body


def file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def opened_session(server: Server) -> str:
    """The session of a page that was opened: its lists of names are there to choose from."""
    name = uuid.uuid4().hex
    for event, kind, _ in events(server, given=0):
        if kind == "load":
            assert call(server, name, event) is not None
    return name
