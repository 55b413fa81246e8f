"""A client of the part of Ollama's native API that is needed here (Ollama's `docs/api.md`, around v0.33)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import msgspec
from msgspec import Struct, field

from harness.malformed import MALFORMED

T = TypeVar("T")

_ANSWER_S = 30.0
_HEALTH_S = 2.0
_PULL_SILENCE_S = 300.0
_BUSY_S = 0.5


class ApiError(Exception):
    """An error answer, or no answer (`status` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Model(Struct, frozen=True):
    """A model on disk (`/api/tags`). `digest` is its manifest's, in hexadecimal."""

    name: str
    digest: str


class Loaded(Struct, frozen=True):
    """A model in memory (`/api/ps`): its size in bytes, how many of these are on GPUs, and its context in tokens."""

    name: str
    size: int = 0
    size_vram: int = 0
    context_length: int = 0


class ModelDetails(Struct, frozen=True):
    """What a model can do (`/api/show`)."""

    capabilities: list[str] = []
    model_info: dict[str, Any] = field(default_factory=dict)

    @property
    def context(self) -> int | None:
        """The context, in tokens, that the model was trained for."""
        found = (value for name, value in self.model_info.items() if name.endswith(".context_length"))
        return next((value for value in found if isinstance(value, int)), None)


class Pulled(Struct, frozen=True):
    """A line of a pull: how many bytes of a layer are there, or the error."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: str | None = None


class _OllamaVersion(Struct, frozen=True):
    version: str


class _Tags(Struct, frozen=True):
    models: list[Model] = []


class _Ps(Struct, frozen=True):
    models: list[Loaded] = []


class OllamaApi:
    """A client of the server at `url`. Its methods raise `ApiError`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def version(self, seconds: float = _HEALTH_S) -> str:
        """Return the server's version. It answers as soon as it serves."""
        return self._ask("GET", "/api/version", _OllamaVersion, seconds=seconds).version

    def model(self, name: str) -> Model | None:
        """Return the model of that name on disk, or `None`."""
        return _named(self._ask("GET", "/api/tags", _Tags).models, name)

    def loaded(self, name: str) -> Loaded | None:
        """Return the model of that name in memory, or `None`."""
        return _named(self._ask("GET", "/api/ps", _Ps).models, name)

    def show(self, name: str) -> ModelDetails:
        """Return what the model can do."""
        return self._ask("POST", "/api/show", ModelDetails, body={"model": name})

    def preload(self, name: str, seconds: float) -> None:
        """Load the model within `seconds`. Try again while the server's queue is full."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._ask("POST", "/api/generate", dict, body={"model": name, "stream": False}, seconds=seconds)
            except ApiError as error:
                if error.status != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(_BUSY_S)
            else:
                return

    def pull(self, name: str) -> Iterator[Pulled]:
        """Pull the model, and yield each line of progress. An error may come after any line."""
        with self._stream("/api/pull", {"model": name}) as lines:
            for line in lines:
                pulled = _decoded(line.encode(), Pulled)
                if pulled.error:
                    raise ApiError(200, pulled.error)
                yield pulled
                if pulled.status == "success":
                    return
        raise ApiError(200, "the pull broke off")

    def _client(self, seconds: float) -> httpx2.Client:
        """Return a client without a proxy. It reads certificates only for TLS, because that is slow."""
        return httpx2.Client(trust_env=False, verify=self.url.startswith("https"), timeout=seconds)

    def _ask(
        self, method: str, path: str, kind: type[T], *, body: dict[str, Any] | None = None, seconds: float = _ANSWER_S
    ) -> T:
        with _faults(), self._client(seconds) as client:
            answer = client.request(method, self.url + path, json=body)
            _check(answer)
            return _decoded(answer.content, kind)

    @contextmanager
    def _stream(self, path: str, body: dict[str, Any]) -> Iterator[Iterator[str]]:
        with (
            _faults(),
            self._client(_PULL_SILENCE_S) as client,
            client.stream("POST", self.url + path, json=body) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
            _check(answer)
            yield (line for line in answer.iter_lines() if line)


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ApiError(0, f"no answer: {error}") from error


def _check(answer: httpx2.Response) -> None:
    if answer.status_code == 200:
        return
    try:
        message = str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = answer.text[:500]
    raise ApiError(answer.status_code, message)


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except MALFORMED as error:
        raise ApiError(200, f"an answer that is not Ollama's: {error}") from None


N = TypeVar("N", Model, Loaded)


def _named(models: list[N], name: str) -> N | None:
    return next((model for model in models if _full(model.name) == _full(name)), None)


def _full(name: str) -> str:
    """Return the name with its tag. The default tag is `latest`."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
