"""Resolve the endpoint: base URL, key and model of the language model server.

The key is read from the environment and sent to the endpoint; it never appears in a message, file or repr.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import openai

from ..errors import InputError, WorkError
from ..workspace import FILE, Workspace
from .answers import assembled
from .confirmations import is_confirmed
from .network import BoundedClient, KeyOnRequest, connection_options, is_loopback, proxy_for
from .redaction import redact
from .refusals import access_refused, connection_error

OPENAI_URL = "https://api.openai.com/v1"

# The only definition of the default model: cheap, current, and with reasoning off, because OpenAI's reasoning
# models accept temperature and top_p only then (developers.openai.com/api/docs/guides/latest-model).
DEFAULT_MODEL = "gpt-6-luna"
DEFAULT_MODEL_SAMPLING = {"reasoning_effort": "none"}

THREE_WAYS = (
    "no language model: set OPENAI_API_KEY, or start a local server such as Ollama (`ollama serve`)\n"
    "and give `--base-url http://localhost:11434/v1`; to try the tool, give `--model demo`; "
    "a set without a language model: `generate --source facs`"
)
_OR_A_MODEL = "or name the model with --model"
# The demo language model. Its server has another port at each start, so this name stands for its address in
# manifests and in the keys of stored answers. The number is raised when the weights change.
DEMO_MODEL = "demo"
DEMO_URL = "demo://localhost/v1"
DEMO_NOTE = "demo language model, trained on generated text; for trying the tool"
LISTED_MODELS = 12
STORED_CHARACTERS = 4000  # stored characters of a body that is not JSON
TIMEOUT_S = 300.0  # a small local model on a CPU may need minutes for a long answer
LISTING_TIMEOUT_S = 15.0

# ASCII host names only: no look-alike characters, and every URL parser reads them in the same way.
_HOST = re.compile(r"(?:.*@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")
# Paths of requests below the base URL, which are often copied along with it.
_REQUEST_PATH = re.compile(r"(/chat)?/completions$|/responses$")

T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """A server with OpenAI's chat completions API, the model to query, and the key.

    `named_by` is the `dfer.yaml` if it is the only source of the address: then the key is sent only after the
    server requests one (401), and nothing else of the environment. `withheld` means that a key exists but is
    never sent. `address` is where the client connects if that is not `base_url`.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    named_by: Path | None = field(default=None, compare=False)
    withheld: bool = field(default=False, compare=False)
    address: str | None = field(default=None, compare=False)

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own server."""
        return self.base_url == OPENAI_URL

    @property
    def is_demo(self) -> bool:
        """Whether this is the demo language model."""
        return self.base_url == DEMO_URL

    @property
    def model_title(self) -> str:
        """The model as recorded in a manifest; the demo model with a note on what it is."""
        return f"{self.model} ({DEMO_NOTE})" if self.is_demo else self.model

    @property
    def sampling_defaults(self) -> dict[str, Any]:
        """Sampling parameters that the default model requires to accept the others."""
        return dict(DEFAULT_MODEL_SAMPLING) if self.is_openai and self.model == DEFAULT_MODEL else {}

    @property
    def token_limit_name(self) -> str:
        """The parameter name of the token limit: OpenAI's newer models require the new name."""
        return "max_completion_tokens" if self.is_openai else "max_tokens"

    def client(
        self,
        retries: int,
        *,
        timeout: float = TIMEOUT_S,
        redirects: bool = True,
        retried: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda _: None,
    ) -> openai.AsyncOpenAI:
        """The SDK's client; without a key a dummy is sent, because the SDK requires one.

        `timeout` (seconds) limits each attempt as a whole; `redirects` to other addresses are followed;
        `retried` is called before each attempt but the
        first. `note` is called if the server receives the key because it requested one. Raises InputError if
        a proxy or the certificates of the environment cannot be used.
        """
        patience = openai.Timeout(timeout, connect=min(10.0, timeout))
        guard = None
        if self.named_by:
            says = f"{self.base_url}, which {self.named_by} names, requests a key: sending OPENAI_API_KEY"
            guard = KeyOnRequest(self.api_key, lambda: note(says))
        url = self.address or self.base_url
        options = connection_options(url)
        return openai.AsyncOpenAI(
            base_url=url,
            api_key=(None if guard else self.api_key) or "no-key",
            max_retries=retries,
            timeout=patience,
            http_client=BoundedClient(
                retried, guard, timeout=patience, follow_redirects=redirects, **options
            ),
        )

    @property
    def via(self) -> str:
        """The proxy in front of the server, as the end of a message; empty if there is none."""
        proxy = proxy_for(self.base_url)
        return f", through the proxy {proxy}" if proxy else ""

    def redact(self, value: Any) -> Any:
        """A text or JSON value without the key, in case a server echoed it."""
        return redact(value, self.api_key)

    def body(self, text: str) -> Any:
        """A response body without the key.

        JSON is parsed; an event stream is assembled to the completion that it contains.
        """
        try:
            value = assembled(text) or json.loads(text)
            # A lone surrogate ("\\ud83d") is valid JSON but cannot be encoded in a file.
            encoded = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            return self.redact(json.loads(encoded))
        except (ValueError, RecursionError):
            return str(self.redact(text))[:STORED_CHARACTERS]


def resolve_endpoint(
    workspace: Workspace, base_url: str | None = None, model: str | None = None, *, probing: bool = False
) -> Endpoint:
    """The endpoint: as given, else from the environment, `dfer.yaml`, or OpenAI if there is a key.

    If a base URL but no model is known, the server's only model is used. The model "demo" without `base_url`
    is the demo language model, whatever is configured. `probing` is as in `resolve_server`.
    Raises InputError if there is neither key nor server, if the user has to confirm the address, or if the
    server lists several models or none; WorkError if the server does not answer.
    """
    if model == DEMO_MODEL and not base_url:
        return Endpoint(DEMO_URL, DEMO_MODEL)
    server = resolve_server(workspace, base_url, probing=probing)
    url = server.base_url
    chosen = model or workspace.defaults.model or (DEFAULT_MODEL if url == OPENAI_URL else "")
    return replace(server, model=chosen or _only_model(server))


def resolve_server(workspace: Workspace, base_url: str | None = None, *, probing: bool = False) -> Endpoint:
    """The server as in `resolve_endpoint`, without a model; no request is sent.

    The key of the environment is sent to OpenAI and to addresses that the user gives (`base_url`,
    OPENAI_BASE_URL). An address that only `dfer.yaml` names needs the user's confirmation, unless it is
    loopback; such a server receives the key only if it requests one. With `probing`, which only lists models,
    these addresses need no confirmation and never receive the key.

    Raises InputError if there is neither key nor server, or if the address has to be confirmed.
    """
    given = _given_url(base_url)
    key = _key_from_environment()
    url = given or workspace.defaults.base_url or ""
    if not url and not key:
        raise InputError(THREE_WAYS)
    url = normal_url(url or OPENAI_URL)
    if redact(url, key) != url:
        raise InputError(
            "the base URL contains the key, and it is written into manifests\nRemove the key from it"
        )
    if url == OPENAI_URL and not key:
        raise InputError(f"{OPENAI_URL} requires a key: set OPENAI_API_KEY\nWithout a key: --source facs")
    if given or url == OPENAI_URL:
        return Endpoint(url, "", key)
    file = workspace.root / FILE
    if probing:
        return Endpoint(url, "", None, file, withheld=key is not None)
    if is_loopback(url):
        return Endpoint(url, "", key, file)
    if not is_confirmed(workspace.root, url):
        raise unconfirmed(file, url)
    return Endpoint(url, "", key)


def is_configured(workspace: Workspace) -> bool:
    """Whether the environment or `dfer.yaml` names a server, or there is a key for OpenAI."""
    return bool(_given_url(None) or _key_from_environment() or workspace.defaults.base_url)


def url_to_confirm(workspace: Workspace, base_url: str | None = None) -> str | None:
    """The address if only `dfer.yaml` names it and the user has not confirmed it yet, else None."""
    named = workspace.defaults.base_url
    if _given_url(base_url) or not named:
        return None
    url = normal_url(named)
    free = url == OPENAI_URL or is_loopback(url) or is_confirmed(workspace.root, url)
    return None if free else url


def unconfirmed(file: Path, url: str) -> InputError:
    """The error for an address of a `dfer.yaml` that the user has not confirmed."""
    return InputError(
        f"{file} names the endpoint {url}, which would receive prompts and OPENAI_API_KEY: not confirmed\n"
        f"To allow it, pass --base-url {url} or set OPENAI_BASE_URL, or confirm it once on a terminal"
    )


def _given_url(base_url: str | None) -> str:
    """The base URL given by the user, not by a file of the workspace."""
    return base_url or os.environ.get("OPENAI_BASE_URL", "").strip()


def normal_url(text: str) -> str:
    """The normalised base URL, which is part of the response cache key. Raises InputError if invalid."""
    shown = text.rpartition("@")[2].partition("?")[0]
    try:
        parts = urlsplit(text.strip().rstrip("/"))
        usable = parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.netloc)) and parts.port != 0
    except ValueError:  # an invalid port, an unclosed bracket
        usable = False
    if not usable:
        raise InputError(f"{shown!r} is not a base URL such as http://localhost:11434/v1")
    if wrong := _REQUEST_PATH.search(parts.path):
        base = urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], parts.path[: wrong.start()], "", "")
        )
        raise InputError(f"the base URL ends in {wrong[0]}, which is appended for each request\nUse {base}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            "a base URL must not contain a user, password or query: it is written into manifests\n"
            "Set the key in OPENAI_API_KEY instead"
        )
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, "", ""))


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, also inside a notebook's running event loop."""
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
            # Polling: a signal that the system delivers to another thread does not interrupt a long wait.
            while not wait([running], timeout=0.1).done:
                pass
        except KeyboardInterrupt:  # reaches only this thread; leaving the block waits for the other
            loop, task = begun.result()
            with suppress(RuntimeError):  # the work and its loop may have ended meanwhile
                loop.call_soon_threadsafe(task.cancel)
            raise
        return running.result()


async def served_models(
    client: openai.AsyncOpenAI, *, retries: int = 1, timeout: float = LISTING_TIMEOUT_S
) -> list[str]:
    """The names that `GET /models` lists, sorted; empty if the answer is not such a list.

    Each of 1 + `retries` attempts has `timeout` seconds. Raises openai.APIError as the SDK does.
    """
    patience = client.with_options(max_retries=retries, timeout=timeout)
    answer = await patience.models.with_raw_response.list()
    try:
        body = json.loads(answer.http_response.text)
    except (ValueError, RecursionError):
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    entries = listed if isinstance(listed, list) else []
    return sorted({str(each["id"]) for each in entries if isinstance(each, dict) and each.get("id")})


def check_models(endpoints: Sequence[Endpoint]) -> None:
    """Check that the server lists the models of all these endpoints but the demo model, if it lists any.

    Raises InputError for the first unknown model, WorkError if the server does not answer.
    """
    elsewhere = [each for each in endpoints if not each.is_demo]
    served = listed_models(elsewhere[0]) if elsewhere else []
    for each in elsewhere if served else ():
        if each.model not in served:
            raise unknown_model(each, served)


def unknown_model(endpoint: Endpoint, served: Sequence[str]) -> InputError:
    """The error for a model that its server does not list."""
    return InputError(
        f"{endpoint.base_url} does not know the model {endpoint.model!r}\n"
        f"Available: {choice_of(served, endpoint.model)}"
    )


def choice_of(models: Sequence[str], similar_to: str = "") -> str:
    """A line with at most `LISTED_MODELS` models, the most similar to the wanted one first."""
    near = difflib.get_close_matches(similar_to, models, n=3, cutoff=0.4)
    ordered = near + [name for name in models if name not in near]
    rest = f" and {len(ordered) - LISTED_MODELS} more" if len(ordered) > LISTED_MODELS else ""
    return ", ".join(ordered[:LISTED_MODELS]) + rest


def _only_model(endpoint: Endpoint) -> str:
    models = listed_models(endpoint)
    if not models:
        raise InputError(f"{endpoint.base_url} lists no models{endpoint.via}\nGive the model with --model")
    if len(models) > 1:
        raise InputError(
            f"{endpoint.base_url} serves {len(models)} models; choose with --model\n"
            f"Available: {choice_of(models)}"
        )
    return models[0]


def listed_models(endpoint: Endpoint, *, retries: int = 1, timeout: float = LISTING_TIMEOUT_S) -> list[str]:
    """The models that a server lists; empty if it lists none.

    Each of 1 + `retries` attempts has `timeout` seconds. Raises WorkError if the server does not answer or
    rejects the key.
    """

    async def listed() -> list[str]:
        async with endpoint.client(retries=retries) as client:
            return await served_models(client, retries=retries, timeout=timeout)

    try:
        return run_blocking(listed())
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        advice = "To send the key, set the address in OPENAI_BASE_URL" if endpoint.withheld else _OR_A_MODEL
        raise WorkError(f"{access_refused(endpoint, error)}\n{advice}") from None
    except openai.APIConnectionError as error:
        says = connection_error(endpoint, error)
        raise WorkError(f"{says}\nStart the server, or check --base-url") from None
    except openai.OpenAIError:
        return []  # a server without a list of models still works with --model


def _key_from_environment() -> str | None:
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise InputError("OPENAI_API_KEY contains white space or an invalid character")
    return key or None
