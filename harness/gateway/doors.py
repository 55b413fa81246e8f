"""Where a service takes the requests of each wire, if it takes them elsewhere than its maker's own service does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from harness.case import ProviderConf
from harness.gateway.allowlist import sent_query
from harness.gateway.provider import Call
from harness.gateway.wires import anthropic_messages, google_generate

_VARIABLE: Final = re.compile(r"\{([A-Z][A-Z0-9_]*)(?::([^{}]*))?\}")
"""A place for a variable of the host: `{AWS_REGION}`, or `{AWS_REGION:us-east-1}` with a default."""

_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""What such a variable may hold: one part of a host name or of a path, so that it cannot change another part."""

_COUNTED: Final = ("/count_tokens", "/input_tokens")
"""The ends of the paths on which tokens are counted, on Anthropic's wire and on OpenAI's."""


class VariableMissing(Exception):
    """An address needs a variable of the host that is not set or not usable. The message names it."""


class Door(Struct, frozen=True):
    """The addresses of a service.

    `paths` maps the name of a wire to its path below `base_url`. `{model}` in it stands for the model, and `{method}`
    for what is asked of the model. A wire without a path has its usual one.
    """

    base_url: str
    paths: Mapping[str, str] = {}
    anthropic_version: str | None = None

    def address(self, call: Call) -> str:
        """Return the address for a request. It has no key in its query."""
        place, _, query = call.path.partition("?")
        template = self.paths.get(call.wire.NAME)
        if template is not None:
            place, own = _placed(template, place, call)
            query = query if own is None else own
        query = sent_query(query)
        return self.base_url + place + (f"?{query}" if query else "")

    def body(self, call: Call, body: bytes) -> bytes:
        """Return a request's body in the form that the service takes."""
        if self.anthropic_version is None or call.wire.NAME != anthropic_messages.NAME:
            return body
        data: dict[str, Any] = json.loads(body)
        if not _counts(call):
            del data["model"]
        data["anthropic_version"] = self.anthropic_version
        return json.dumps(data, separators=(",", ":")).encode()


def door_of(provider: ProviderConf) -> Door:
    """Return the addresses of a provider on this host. Raise `VariableMissing`."""
    return Door(
        base_url=filled(provider, provider.base_url or "").rstrip("/"),
        paths={wire: filled(provider, path) for wire, path in provider.paths.items()},
        anthropic_version=provider.anthropic_version,
    )


def filled(provider: ProviderConf, text: str) -> str:
    """Return a text of a provider with the values of the host's variables. Raise `VariableMissing`."""

    def value(found: re.Match[str]) -> str:
        name, default = found.groups()
        held = os.environ.get(name, "").strip() or default
        if not held:
            raise VariableMissing(f"provider {provider.name} needs the variable {name}: set it")
        if not _VALUE.fullmatch(held):
            raise VariableMissing(
                f"provider {provider.name} cannot use the variable {name}: it may have letters, digits, dots, hyphens "
                "and underscores"
            )
        return held

    return _VARIABLE.sub(value, text)


def _placed(template: str, place: str, call: Call) -> tuple[str, str | None]:
    """Return the path for a request, and its query, or `None` if that is the request's own."""
    path, _, query = template.partition("?")
    own = query or None
    google = google_generate.PATH.fullmatch(place)
    if google is not None:
        return _with(path, call.request.model, google["method"]), own
    if "{method}" not in path:
        return _with(path, call.request.model, "") + (f"/{place.rpartition('/')[2]}" if _counts(call) else ""), own
    if _counts(call):  # https://docs.anthropic.com/en/api/claude-on-vertex-ai
        return _with(path, "count-tokens", "rawPredict"), query
    return _with(path, call.request.model, "streamRawPredict" if call.request.stream else "rawPredict"), query


def _with(path: str, model: str, method: str) -> str:
    return path.replace("{model}", quote(model, safe="@")).replace("{method}", method)


def _counts(call: Call) -> bool:
    return call.path.partition("?")[0].endswith(_COUNTED)
