"""What vLLM and llama.cpp have in common: their servers answer `/health` and `/metrics`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import httpx2
import msgspec
from filelock import FileLock

from harness.case import ModelConf, ProviderConf
from harness.malformed import MALFORMED
from harness.servers.base import Progress, ServerFault
from harness.servers.leases import Leases

T = TypeVar("T")

_HEALTH_S: Final = 2.0
_ANSWER_S: Final = 30.0
_LOADING_S: Final = 600.0
_POLL_S: Final = 0.5
_EXCERPT: Final = 1000
_LOADING: Final = re.compile(r"\bloading\b", re.IGNORECASE)
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE)


class HealthCheckedServers:
    """The part of `ServerKind` that vLLM and llama.cpp share."""

    def external_url(self, provider: ProviderConf) -> str | None:
        """See `ServerKind`. A server that says that it is loading is waited for, by one process of this machine."""
        if provider.base_url is None:
            return None
        url = provider.base_url.rstrip("/")
        if not self.healthy(url) and not self._loaded(url, float(provider.options.get("start_s", _LOADING_S))):
            raise ServerFault(
                f"{url}/health does not answer with 200 (conf/provider/{provider.name}.yaml: base_url): it is not "
                f"running, or still loading; start it, or set provider.{provider.name}.base_url=null to "
                "let Proctor start one"
            )
        return url

    def _loaded(self, url: str, patience_s: float) -> bool:
        """Return whether a server becomes healthy. It must say that it is loading until then."""
        if _state(url) == "loading":
            name = hashlib.sha256(url.encode()).hexdigest()[:16]
            with FileLock(Leases().folder / f"loading-{name}.lock"):  # the others wait here, and then find it loaded
                deadline = time.monotonic() + patience_s
                while _state(url) == "loading" and time.monotonic() < deadline:
                    time.sleep(_POLL_S)
        return self.healthy(url)

    def healthy(self, url: str) -> bool:
        """See `ServerKind`. Until its model is loaded, a server answers 503 or not at all."""
        return _state(url) == "healthy"

    def prepare(self, url: str, model: ModelConf, provider: ProviderConf, progress: Progress) -> None:
        """See `ServerKind`. This does nothing, because a server loads its one model before it is healthy."""

    def metrics(self, url: str) -> Mapping[str, float]:
        """See `ServerKind`. Read `/metrics` in the format of Prometheus. Add up values that differ only in labels."""
        try:
            answer = _get(f"{url}/metrics", _ANSWER_S)
        except httpx2.HTTPError as error:
            raise ServerFault(f"{url}/metrics: no answer: {error}") from error
        found: dict[str, float] = {}
        for name, value in _SAMPLE.findall(answer.text):
            found[name] = found.get(name, 0.0) + float(value)
        return found


def get_json(url: str, path: str, kind: type[T]) -> T:
    """Return the server's answer to a GET, decoded as `kind`. Raise `ServerFault`."""
    try:
        answer = _get(url + path, _ANSWER_S)
    except httpx2.HTTPError as error:
        raise ServerFault(f"{url}{path}: no answer: {error}") from error
    if answer.status_code != 200:
        raise ServerFault(f"{url}{path}: status {answer.status_code}: {answer.text[:500]}")
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except MALFORMED as error:
        raise ServerFault(f"{url}{path}: an unexpected answer: {error}") from None


def require_digest(digest: str | None, model: ModelConf) -> None:
    """Raise `ServerFault` if the model's configuration pins a different digest of the weights."""
    if model.digest is not None and model.digest != digest:
        found = f"are {digest}" if digest else "cannot be identified"
        raise ServerFault(f"the weights of {model.name} {found}, but conf/model/{model.name}.yaml pins {model.digest}")


def _state(url: str) -> Literal["healthy", "loading", "down"]:
    """Return what a server says about itself. llama.cpp says that it is loading; vLLM does not answer until it has."""
    try:
        answer = _get(f"{url}/health", _HEALTH_S)
    except httpx2.HTTPError:
        return "down"
    if answer.status_code == 503 and _LOADING.search(answer.text[:_EXCERPT]):
        return "loading"
    return "healthy" if answer.status_code == 200 else "down"


def _get(url: str, seconds: float) -> httpx2.Response:
    """Send a GET to this machine, without the host's proxy."""
    with httpx2.Client(trust_env=False, timeout=seconds) as client:
        return client.get(url)
