"""Which server is asked, with which key and model, and what to tell a person when that does not work.

The key comes from the environment and goes to the endpoint: never into a text, a file or a representation.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import openai

from ..errors import InputError, WorkError
from ..workspace import Workspace
from .redaction import redact
from .transport import BoundedClient

OPENAI_URL = "https://api.openai.com/v1"

# The one place that names a default model: cheap, current, and asked not to reason, because OpenAI's
# reasoning models take temperature and top_p only then (developers.openai.com/api/docs/guides/latest-model).
DEFAULT_MODEL = "gpt-6-luna"
DEFAULT_MODEL_SAMPLING = {"reasoning_effort": "none"}

THREE_WAYS = (
    "no language model to ask: set OPENAI_API_KEY, or start a local server such as Ollama (`ollama serve`)\n"
    "and give `--base-url http://localhost:11434/v1`, or use descriptors that need no model: `--source facs`"
)
LISTED_MODELS = 12
SHOWN_OF_A_MESSAGE = 200  # characters of a server's own words
KEPT_OF_GARBAGE = 4000  # characters of a body that is no JSON
TIMEOUT_S = 300.0  # a small local model on a CPU needs minutes for a long answer
LISTING_TIMEOUT_S = 15.0

T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions, the model asked there, and the key it is sent."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own server."""
        return self.base_url == OPENAI_URL

    @property
    def sampling_defaults(self) -> dict[str, Any]:
        """Sampling parameters without which the default model would refuse the others."""
        return dict(DEFAULT_MODEL_SAMPLING) if self.is_openai and self.model == DEFAULT_MODEL else {}

    @property
    def token_limit_name(self) -> str:
        """OpenAI's newer models know only the new name; other servers may know only the old one."""
        return "max_completion_tokens" if self.is_openai else "max_tokens"

    def client(
        self, retries: int, *, timeout: float = TIMEOUT_S, retried: Callable[[], None] = lambda: None
    ) -> openai.AsyncOpenAI:
        """The SDK's client; without a key a dummy is sent, because the SDK insists on one.

        `timeout` bounds each attempt as a whole, in seconds; `retried` is called before each but the first.
        """
        patience = openai.Timeout(timeout, connect=min(10.0, timeout))
        return openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.api_key or "no-key",
            max_retries=retries,
            timeout=patience,
            http_client=BoundedClient(retried, timeout=patience),
        )

    def redact(self, value: Any) -> Any:
        """A text, or JSON, without the key, should a server have echoed it."""
        return redact(value, self.api_key)

    def body(self, text: str) -> Any:
        """A body as the server sent it, parsed where it is JSON, without the key should it be in there."""
        try:
            # Half of an escaped pair ("\\ud83d") is JSON but no text that a file could hold.
            whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
            return self.redact(json.loads(whole))
        except (ValueError, RecursionError):
            return str(self.redact(text))[:KEPT_OF_GARBAGE]


def resolve_endpoint(workspace: Workspace, base_url: str | None = None, model: str | None = None) -> Endpoint:
    """The endpoint to ask: what is given, else the environment, else `dfer.yaml`, else OpenAI with a key.

    Where a base URL but no model is known, the server is asked for its list. Raises InputError when there is
    neither key nor server, or a choice of models; WorkError when the server does not answer.
    """
    server = resolve_server(workspace, base_url)
    url = server.base_url
    chosen = model or workspace.defaults.model or (DEFAULT_MODEL if url == OPENAI_URL else "")
    return replace(server, model=chosen or _only_model(server))


def resolve_server(workspace: Workspace, base_url: str | None = None) -> Endpoint:
    """The server to ask, as `resolve_endpoint` finds it, with no model chosen; nothing is asked yet.

    Raises InputError when there is neither key nor server.
    """
    url = base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or workspace.defaults.base_url or ""
    key = _key_from_environment()
    if not url and not key:
        raise InputError(THREE_WAYS)
    url = normal_url(url or OPENAI_URL)
    if redact(url, key) != url:
        raise InputError(
            "the base URL holds the key, and it is written into manifests\nLeave the key out of it"
        )
    if url == OPENAI_URL and not key:
        raise InputError(f"{OPENAI_URL} wants a key: set OPENAI_API_KEY\nWithout one: --source facs")
    return Endpoint(url, "", key)


def normal_url(text: str) -> str:
    """The base URL in the form under which answers are stored. Raises InputError when it is not one."""
    shown = text.rpartition("@")[2].partition("?")[0]
    try:
        parts = urlsplit(text.strip().rstrip("/"))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket left open
        usable = False
    if not usable:
        raise InputError(f"{shown!r} is no base URL; one looks like http://localhost:11434/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "a base URL holds no user, password or query: it is written into manifests\n"
            "Give the key in OPENAI_API_KEY instead"
        )
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, "", ""))


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from ordinary code, also from inside a notebook's running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def told() -> T:
        task = asyncio.current_task()
        assert task is not None
        begun.set_result((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(asyncio.run, told())
        try:
            # Woken now and then: a signal that the system hands to another thread does not end a longer wait.
            while not wait([running], timeout=0.1).done:
                pass
        except KeyboardInterrupt:  # it reaches this thread only, and leaving the block waits for the other
            loop, task = begun.result()
            with suppress(RuntimeError):  # the work may have ended meanwhile, and its loop with it
                loop.call_soon_threadsafe(task.cancel)
            raise
        return running.result()


async def served_models(
    client: openai.AsyncOpenAI, *, retries: int = 1, timeout: float = LISTING_TIMEOUT_S
) -> list[str]:
    """The names that `GET /models` lists, sorted; empty where the answer is no such list.

    Each of 1 + `retries` attempts has `timeout` seconds. Raises openai.APIError as the SDK does.
    """
    patience = client.with_options(max_retries=retries, timeout=timeout)
    answer = await patience.models.with_raw_response.list()
    try:
        body = json.loads(answer.http_response.text)
    except ValueError:
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    entries = listed if isinstance(listed, list) else []
    return sorted({str(each["id"]) for each in entries if isinstance(each, dict) and each.get("id")})


def check_models(endpoints: Sequence[Endpoint]) -> None:
    """Whether one server lists the models of all these endpoints, if it lists any.

    Raises InputError for the first that it does not know, WorkError when the server does not answer.
    """
    served = listed_models(endpoints[0])
    for each in endpoints if served else ():
        if each.model not in served:
            raise unknown_model(each, served)


def unknown_model(endpoint: Endpoint, served: Sequence[str]) -> InputError:
    """The error for a model that its server does not list."""
    return InputError(
        f"{endpoint.base_url} does not know the model {endpoint.model!r}\n"
        f"It has: {choice_of(served, endpoint.model)}"
    )


def choice_of(models: Sequence[str], wanted: str = "") -> str:
    """A line that lists models, the nearest to the wanted one first, and not more than a person reads."""
    near = difflib.get_close_matches(wanted, models, n=3, cutoff=0.4)
    ordered = near + [name for name in models if name not in near]
    rest = f" and {len(ordered) - LISTED_MODELS} more" if len(ordered) > LISTED_MODELS else ""
    return ", ".join(ordered[:LISTED_MODELS]) + rest


def connection_error(endpoint: Endpoint, error: openai.APIConnectionError) -> str:
    """One line: who did not answer, and why as far as the operating system tells."""
    if isinstance(error, openai.APITimeoutError):
        return f"{endpoint.base_url} did not answer in time"
    if not is_nobody_there(error):
        return f"{endpoint.base_url} broke off the connection ({_system_words(error)})"
    return f"nothing answers at {endpoint.base_url} ({_system_words(error)})"


def is_nobody_there(error: openai.APIConnectionError) -> bool:
    """Whether there was no connection at all (refused, no such host, no route), not one that broke off."""
    if isinstance(error, openai.APITimeoutError):
        return False
    broke_off = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(each, OSError) and not isinstance(each, broke_off) for each in _below(error))


def refused_key(endpoint: Endpoint) -> str:
    """One line for 401 and 403. The server's own words are left out: they may quote the key."""
    if endpoint.api_key is None:
        return f"{endpoint.base_url} wants a key: set OPENAI_API_KEY"
    return f"{endpoint.base_url} does not accept the key in OPENAI_API_KEY"


def server_words(endpoint: Endpoint, error: openai.APIStatusError) -> str:
    """The message inside an error body as one line; nothing of a page that is not JSON, and no key."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error") if isinstance(body.get("error"), dict) else body
        body = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else None
    text = body if isinstance(body, str) and not body.lstrip().startswith("<") else ""
    return shortened(endpoint.redact(text))


def shortened(text: str) -> str:
    """The text as one line without control characters, and not more of it than a person reads."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= SHOWN_OF_A_MESSAGE else line[: SHOWN_OF_A_MESSAGE - 3] + "..."


def _system_words(error: BaseException) -> str:
    """What the operating system said, from below the exceptions of the SDK and its HTTP library."""
    words = "no reason given"
    for below in _below(error):
        if isinstance(below, OSError) and below.strerror:
            number = below.errno or 0  # negative for a failed name lookup; asyncio's own words hide the cause
            words = os.strerror(number) if number > 0 else below.strerror
    return words


def _below(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that caused it; of several at once the first."""
    below: BaseException | None = error
    while below is not None:
        yield below
        causes = below.exceptions if isinstance(below, BaseExceptionGroup) else (None,)
        below = causes[0] or below.__cause__ or below.__context__


def _only_model(endpoint: Endpoint) -> str:
    models = listed_models(endpoint)
    if not models:
        raise InputError(f"{endpoint.base_url} lists no models\nName the one to ask with --model")
    if len(models) > 1:
        raise InputError(
            f"{endpoint.base_url} serves {len(models)} models; choose with --model\n"
            f"There are: {choice_of(models)}"
        )
    return models[0]


def listed_models(endpoint: Endpoint, *, retries: int = 1, timeout: float = LISTING_TIMEOUT_S) -> list[str]:
    """The models that a server says it has; none where it lists none.

    Each of 1 + `retries` attempts has `timeout` seconds. Raises WorkError when the server does not answer or
    does not accept the key.
    """

    async def listed() -> list[str]:
        async with endpoint.client(retries=retries) as client:
            return await served_models(client, retries=retries, timeout=timeout)

    try:
        return run_blocking(listed())
    except (openai.AuthenticationError, openai.PermissionDeniedError):
        raise WorkError(f"{refused_key(endpoint)}\nor name the model with --model") from None
    except openai.APIConnectionError as error:
        says = connection_error(endpoint, error)
        raise WorkError(f"{says}\nStart the server, or check --base-url") from None
    except openai.OpenAIError:
        return []  # without a list of models a server can still be asked, by whoever knows the name


def _key_from_environment() -> str | None:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise InputError("OPENAI_API_KEY holds white space or a character that no key has")
    return key or None
