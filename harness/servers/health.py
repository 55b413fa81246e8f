"""What vLLM and llama.cpp have in common: their servers answer `/health` and `/metrics`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import httpx2
import msgspec

from harness.case import ModelConf, ProviderConf
from harness.malformed import MALFORMED
from harness.servers.base import Progress, ServerFault

T = TypeVar("T")

_HEALTH_S: Final = 2.0
_ANSWER_S: Final = 30.0
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE)


class HealthCheckedServers:
    """The part of `ServerKind` that vLLM and llama.cpp share."""

    def external_url(self, provider: ProviderConf) -> str | None:
        """See `ServerKind`."""
        if provider.base_url is None:
            return None
        url = provider.base_url.rstrip("/")
        if not self.healthy(url):
            raise ServerFault(
                f"{url}/health does not answer with 200 (conf/provider/{provider.name}.yaml: base_url): it is not "
                f"running, or still loading; start it, or set provider.{provider.name}.base_url=null to "
                "let Proctor start one"
            )
        return url

    def healthy(self, url: str) -> bool:
        """See `ServerKind`. Until its model is loaded, a server answers 503 or not at all."""
        try:
            return _get(f"{url}/health", _HEALTH_S).status_code == 200
        except httpx2.HTTPError:
            return False

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


def _get(url: str, seconds: float) -> httpx2.Response:
    """Send a GET to this machine, without the host's proxy."""
    with httpx2.Client(trust_env=False, timeout=seconds) as client:
        return client.get(url)
