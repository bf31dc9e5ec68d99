"""Serve the demo language model: `python -m dfer_model.synthetic.demo_lm.server [--port 8099]`.

The server listens on 127.0.0.1 and speaks OpenAI's chat completions protocol: `GET /v1/models` and
`POST /v1/chat/completions` with `messages`, `temperature`, `top_p`, `seed`, `max_tokens` and `n`. It prints
its base URL as its first line. With `--until-eof` it ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .sampler import Sampler

MODEL = "demo"
MOST_BYTES = 2**20  # of a request's body
_TOKENS = 512  # of an answer without max_tokens; no answer can be longer


class Part(BaseModel):
    """One text part of a message."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One chat message."""

    role: str
    content: str | list[Part]

    @property
    def text(self) -> str:
        """The text, of all parts."""
        return (
            self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        )


class ChatRequest(BaseModel):
    """The supported parameters of a chat completion. Others are ignored, as most servers do."""

    model_config = ConfigDict(extra="ignore")

    model: Literal["demo"]
    messages: Annotated[list[Message], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] = 1
    stream: Literal[False] | None = None
    response_format: dict[str, Any] | None = None


class DemoServer(ThreadingHTTPServer):
    """The server; one answer is computed at a time, so that a seed always gives the same answer."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.sampler = Sampler()
        self._one_at_a_time = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error with its traceback, unless the client has closed the connection."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def base_url(self) -> str:
        """The address for OpenAI-compatible clients."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def complete(self, request: ChatRequest) -> dict[str, Any]:
        """The response to a request. Without a seed the answers differ from call to call."""
        seed = time.time_ns() if request.seed is None else abs(request.seed)
        with self._one_at_a_time:
            question = self.sampler.question([each.text for each in request.messages])
            answers = [
                self.sampler.sample(
                    question,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    max_tokens=request.max_completion_tokens or request.max_tokens or _TOKENS,
                    # Choice i has the same answer as a request for one answer with seed + i.
                    seed=seed + i,
                )
                for i in range(request.n)
            ]
        generated = sum(each.tokens for each in answers)
        return {
            "id": f"chatcmpl-demo-{seed}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": MODEL,
            "choices": [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": each.text},
                    "finish_reason": each.finish_reason,
                }
                for i, each in enumerate(answers)
            ],
            "usage": {
                "prompt_tokens": len(question),
                "completion_tokens": generated,
                "total_tokens": len(question) + generated,
            },
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DemoServer

    def do_GET(self) -> None:
        if self.path.rstrip("/") != "/v1/models":
            self._refuse(404, f"no such path: {self.path}")
            return
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "dfer-prompts"}
        self._send(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if not 0 < length <= MOST_BYTES:
            self.close_connection = True
            self._refuse(413, f"the body must have 1 to {MOST_BYTES} bytes")
            return
        body = self.rfile.read(length)
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._refuse(404, f"no such path: {self.path}")
            return
        try:
            request = ChatRequest.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            if name == "model":
                self._refuse(404, f"the only model is {MODEL!r}", "model", "model_not_found")
            else:
                self._refuse(400, f"{name or 'body'}: {first['msg']}", name or None)
            return
        form = (request.response_format or {}).get("type", "text")
        if form != "text":
            self._refuse(400, f"response_format {form} is not supported", "response_format")
            return
        self._send(200, self.server.complete(request))

    def _refuse(self, status: int, message: str, name: str | None = None, code: str | None = None) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": name, "code": code}
        self._send(status, {"error": error})

    def _send(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the base class
        """Nothing is logged: requests are not reported to the user."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this program."""
    parser = argparse.ArgumentParser(description="Serve the demo language model on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="the port; 0 (default) takes a free one")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    given = parser.parse_args(arguments)
    with DemoServer(given.port) as server:
        sys.stdout.write(server.base_url + "\n")
        sys.stdout.flush()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            if given.until_eof:
                sys.stdin.read()
            else:
                thread.join()
        except KeyboardInterrupt:
            pass
        server.shutdown()


if __name__ == "__main__":
    main()
