"""What vLLM's and llama.cpp's servers have in common: options, `/health`, JSON answers and `/metrics`."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar

import httpx2
import msgspec
from msgspec import Meta, Struct

from backends.wire import read_options
from harness.case import ConfError, ModelConf, ProviderConf
from harness.servers.base import ServerFault

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

Seconds = Annotated[float, Meta(gt=0)]

_HEALTH_S: Final = 2.0
_ANSWER_S: Final = 30.0
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)", re.MULTILINE)


def options_of(kind: type[S], model: ModelConf, provider: ProviderConf | None = None) -> S:
    """`model.server` as a kind's own options, over those of the provider. Raises `ConfError`."""
    given = {**(provider.options if provider else {}), **model.server}
    try:
        return read_options(kind, given)
    except ValueError as error:
        provider_file = f", or conf/provider/{provider.name}.yaml: options" if provider and provider.options else ""
        raise ConfError(f"conf/model/{model.name}.yaml: server{provider_file}: {error}") from None


def running(provider: ProviderConf) -> str | None:
    """The configured server's address; none where none is configured. Raises `ServerFault` where it does not answer."""
    if provider.base_url is None:
        return None
    url = provider.base_url.rstrip("/")
    if not healthy(url):
        raise ServerFault(
            f"nothing answers {url}/health with 200 (conf/provider/{provider.name}.yaml: base_url): it is not running, "
            f"or still loading; start it, or set provider.{provider.name}.base_url=null to have one started"
        )
    return url


def healthy(url: str) -> bool:
    """Whether it has loaded its model: until then both answer 503, or not at all."""
    try:
        return _get(f"{url}/health", _HEALTH_S).status_code == 200
    except httpx2.HTTPError:
        return False


def ask(url: str, path: str, kind: type[T]) -> T:
    """Its answer to a GET, as `kind`. Raises `ServerFault`."""
    try:
        answer = _get(url + path, _ANSWER_S)
    except httpx2.HTTPError as error:
        raise ServerFault(f"{url}{path}: no answer: {error}") from error
    if answer.status_code != 200:
        raise ServerFault(f"{url}{path}: status {answer.status_code}: {answer.text[:500]}")
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as error:
        raise ServerFault(f"{url}{path}: not the answer that was expected: {error}") from None


def metrics(url: str) -> dict[str, float]:
    """Its own counters by name (`/metrics`, in Prometheus' form), labels added up. Raises `ServerFault`."""
    try:
        answer = _get(f"{url}/metrics", _ANSWER_S)
    except httpx2.HTTPError as error:
        raise ServerFault(f"{url}/metrics: no answer: {error}") from error
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(answer.text):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def require_digest(digest: str | None, model: ModelConf) -> None:
    """Raise `ServerFault` where the model's conf pins other weights than these."""
    if model.digest is not None and model.digest != digest:
        found = f"are {digest}" if digest else "cannot be identified"
        raise ServerFault(f"the weights of {model.name} {found}, and conf/model/{model.name}.yaml pins {model.digest}")


def _get(url: str, seconds: float) -> httpx2.Response:
    """No proxy of the host's stands between this machine and itself."""
    with httpx2.Client(trust_env=False, timeout=seconds) as client:
        return client.get(url)
