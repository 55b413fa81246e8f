"""Attempts of a program in a room on the gateway: to send a service more than the case needs, and to learn its key.

The requests are those of the gateway's own tests. The positive control sends the same request straight to the service,
which is a stand-in on this machine.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2

from tests.support.forwarding import DUMMY, bench
from tests.support.gateway_client import CHAT, GOOGLE, MESSAGES, RESPONSES, address, conversation
from tests.support.stand_in_upstream import Received, Upstream
from tests.unit.test_gateway_allowed import BLOCKS, HEADERS, PLACES, QUERIES, UNKNOWN, WIRES, content
from tests.unit.test_gateway_keys import KEY, WAYS, shared

_LONGEST = 70


class GatewayAttempt(NamedTuple):
    """A request, and whether it has succeeded, given what the service received and what the agent was answered."""

    path: str
    body: dict[str, Any]
    breached: Callable[[list[Received], str], bool]
    headers: Mapping[str, str] = MappingProxyType({})
    answer: bytes | None = None


def _label(kind: str, path: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True).replace("|", "/")
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{kind} of {WIRES[path]}: `{short}`"


def _arrives(more: dict[str, Any]) -> Callable[[list[Received], str], bool]:
    return lambda came, _: any(one.json.get(key) == value for one in came for key, value in more.items())


def _field(path: str, more: dict[str, Any]) -> GatewayAttempt:
    body = conversation(path, 0, stream=False) | more
    return GatewayAttempt(address(path, stream=False), body, _arrives(more))


def _header(name: str, value: str) -> GatewayAttempt:
    def breached(came: list[Received], _: str) -> bool:
        return any(one.headers.get(name) == value for one in came)

    body = conversation(CHAT, 0, stream=False)
    return GatewayAttempt(CHAT, body, breached, headers={name: value})


def _place(where: str, path: str) -> GatewayAttempt:
    return GatewayAttempt(where, conversation(path, 0, stream=False), lambda came, _: bool(came))


def _key(way: str) -> GatewayAttempt:
    answer = f'{{"debug": "{way}"}}'.encode()
    body = conversation(MESSAGES, 0, stream=False)
    return GatewayAttempt(MESSAGES, body, lambda _, told: shared(way, told) > len(way) // 2, answer=answer)


def _fields() -> dict[str, GatewayAttempt]:
    """Return an attempt for each field. A field that is tried on all wires is tried on one of them here."""
    wires = (CHAT, RESPONSES, MESSAGES, GOOGLE)
    names = list(dict.fromkeys(name for path, more in UNKNOWN if path == CHAT for name in more))
    found = {}
    for path, more in UNKNOWN:
        name = next(iter(more))
        everywhere = sum(name in other for _, other in UNKNOWN) >= len(wires)
        if not everywhere or wires[names.index(name) % len(wires)] == path:
            found[_label("field", path, more)] = _field(path, more)
    return found


ATTEMPTS: dict[str, GatewayAttempt] = {
    **_fields(),
    **{_label("content", path, block): _field(path, content(path, block)) for path, block in BLOCKS},
    **{f"header `{name}`": _header(name, value) for name, value in HEADERS.items()},
    **{f"query `{query}`": _place(f"{CHAT}?{query}", CHAT) for query in QUERIES},
    **{f"path `{where}`": _place(where, GOOGLE) for where in PLACES},
    **{f"an answer with the key, {how}": _key(way) for how, way in WAYS.items()},
}
"""All attempts on the gateway, by name."""


def sealed(folder: Path) -> dict[str, str]:
    """Send every request to the gateway of a case."""
    with bench(folder) as found:
        client = found.open(key=KEY).client
        return {name: _outcome(one, found.upstream, client) for name, one in ATTEMPTS.items()}


def controls(folder: Path) -> dict[str, str]:
    """Send every request to the service."""
    with bench(folder) as found:
        trusted = ssl.create_default_context(cafile=str(folder / "authority.pem"))
        with httpx2.Client(base_url=found.upstream.url, timeout=30, headers=DUMMY, verify=trusted) as client:
            return {name: _outcome(one, found.upstream, client) for name, one in ATTEMPTS.items()}


def _outcome(one: GatewayAttempt, upstream: Upstream, client: httpx2.Client) -> str:
    with upstream.behaving(body=one.answer):
        answer = client.post(one.path, json=one.body, headers=one.headers)
        breached = one.breached(upstream.requests, f"{answer.headers} {answer.text}")
    return "breached" if breached else f"held: status {answer.status_code}"
