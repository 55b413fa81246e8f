"""What the pinned CLIs send to their models: `python -m tests.contracts.sent`, or `make allowed`.

It plays sessions with every CLI over every wire, and writes what it saw into the part `recorded` of the lists in
`harness/gateway/allowed/`. With `--backend NAME`, it adds what that CLI sends. Look at the difference before you commit
it: whatever is listed reaches a service.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import msgspec
import yaml
from msgspec import Struct

from backends.base import Backend
from backends.registry import backend, own_names
from harness.gateway import account
from harness.gateway.allowlist import CREDENTIALS, LISTS, AllowList, Listed, Rule, allow_list, read_list
from harness.gateway.script import Conversation, Script, ScriptedCall, ScriptedTurn
from harness.gateway.wires.base import dumps
from tests.contracts import rich
from tests.support.sessions import Play, Stage
from tests.support.words import words

ANTHROPIC, CHAT, RESPONSES, GOOGLE = "anthropic_messages", "openai_chat", "openai_responses", "google_generate"

CONNECTION = frozenset(
    ("host", "connection", "content-length", "content-type", "accept-encoding", "authorization", "x-api-key")
) | {"x-goog-api-key"}
"""The headers of a CLI's own connection, and of its own key. The gateway sends others in their place."""

_CHOSEN = ("type", "store", "include[]", "execution", "syntax", "context")
"""The names of fields whose values say what a service is to do. Each value is listed."""
_SCHEMAS = ("input_schema", "parameters", "parametersJsonSchema", "schema")
_FREE = ("content[].input", "functionCall.args", "functionResponse.response")
"""The places of a call's arguments and of its result."""

MODELS: Mapping[str, tuple[str, ...]] = {
    ANTHROPIC: ("claude-opus-5-5", "claude-haiku-5-5"),
    CHAT: ("qwen3-coder:30b", "gpt-oss-20b"),
    RESPONSES: ("gpt-6.1-sol", "gpt-5.5"),
    GOOGLE: ("gemini-4-argon", "gemini-2.5-pro"),
}
"""Models that some CLIs know by name. They send more to these."""


class Seen(Struct):
    """What was seen over one wire."""

    paths: set[str] = msgspec.field(default_factory=set)
    query: dict[str, set[str]] = msgspec.field(default_factory=dict)
    headers: dict[str, set[str]] = msgspec.field(default_factory=dict)
    body: dict[str, set[Any] | str] = msgspec.field(default_factory=dict)

    def add(self, path: str, query: str, model: str, body: bytes) -> None:
        """Add a request."""
        self.paths.add(path.replace(model, "{model}"))
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in CREDENTIALS:
                self.query.setdefault(name, set()).add(value)
        self._fields(json.loads(body), "")

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Add the headers of a request."""
        for name in headers.keys() - CONNECTION:
            values = self.headers.setdefault(name, set())
            if name == "anthropic-beta":
                values |= {one.strip() for one in headers[name].split(",")}

    def add_listed(self, part: Listed) -> None:
        """Add what a list has."""
        self.paths.update(part.paths)
        for name, values in part.query.items():
            self.query.setdefault(name, set()).update(values)
        for name, listed in part.headers.items():
            self.headers.setdefault(name, set()).update(listed or ())
        for path, rule in part.body.items():
            seen = self.body.setdefault(path, rule if isinstance(rule, str) else set())
            if isinstance(seen, set) and isinstance(rule, list):
                seen.update(rule)

    def _fields(self, value: Any, path: str) -> None:
        if path.rsplit(".", maxsplit=1)[-1] in _SCHEMAS:
            self.body[path] = "schema"
        elif path.endswith(_FREE):
            self.body[path] = "json"
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._fields(inner, f"{path}.{name}" if path else name)
        elif isinstance(value, list) and value:
            for inner in value:
                self._fields(inner, f"{path}[]")
        elif isinstance(value, str) and value.startswith("data:"):
            self.body[path] = "data"
        else:
            values = self.body.setdefault(path, set())
            if isinstance(values, set) and path.rsplit(".", maxsplit=1)[-1] in _CHOSEN and value is not None:
                values.add(value)

    def listed(self) -> Listed:
        """Return what was seen, as a part of a list."""
        return Listed(
            paths=tuple(sorted(self.paths)),
            query={name: sorted(values) for name, values in sorted(self.query.items())},
            headers={name: sorted(values) or None for name, values in sorted(self.headers.items())},
            body={path: _rule(rule) for path, rule in sorted(self.body.items())},
        )


def _rule(seen: set[Any] | str) -> Rule:
    return (sorted(seen) or None) if isinstance(seen, set) else seen  # type: ignore[return-value]  # one of the words


class _Watching(AllowList):
    """A list that notes what is asked of it, and then asks `enforced`. Without that, it lets everything pass."""

    def __init__(self, seen: Seen, enforced: AllowList | None) -> None:
        self.seen = seen
        self.enforced = enforced

    def check(self, path: str, query: str, model: str, body: bytes) -> None:
        """Note a request."""
        self.seen.add(path, query, model, body)
        if self.enforced:
            self.enforced.check(path, query, model, body)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Note the headers of a request."""
        self.seen.add_headers(headers)
        return self.enforced.headers(headers) if self.enforced else dict(headers)


@contextmanager
def watching(*, enforced: bool) -> Iterator[dict[str, Seen]]:
    """Note what the requests carry that gateways get in this block. Yield it, by wire.

    If the lists are not `enforced`, all requests pass.
    """
    seen: dict[str, Seen] = {}

    def watch(wire: str, extra: tuple[str, ...]) -> _Watching:
        return _Watching(seen.setdefault(wire, Seen()), allow_list(wire, extra) if enforced else None)

    with patch.object(account, "allow_list", watch):
        yield seen


def unlisted(wire: str, seen: Seen) -> list[str]:
    """Return what was seen and is not in the wire's list."""
    file, found = read_list(wire), seen.listed()
    known = (file.known, file.recorded)
    lacking = [f"path {path}" for path in found.paths if not any(path in part.paths for part in known)]
    for name, values in found.query.items():
        listed = {value for part in known for value in part.query.get(name, ())}
        lacking += [f"query {name}={value}" for value in values if value not in listed]
    for name, betas in found.headers.items():
        parts = [part.headers[name] for part in known if name in part.headers]
        if not parts and not any(name in part.dropped for part in known):
            lacking.append(f"header {name}")
        elif parts and None not in parts:
            listed = {value for part in parts for value in part or ()}
            lacking += [f"header {name}: {value}" for value in betas or () if value not in listed]
    allowed = AllowList(wire, known, ())
    return lacking + [f"field {path}" for path, rule in found.body.items() if not allowed.lists(path, rule)]


# The sessions


def jobs(name: str, wire: str) -> Iterator[Play]:
    """Yield sessions in which this CLI sends all that it is known to send over this wire."""
    adapter = backend(name)
    counting = (ScriptedTurn(calls=(ScriptedCall(run="echo 41"),)), words(name).answer_of_subagent(rich.SUBREPLY))
    script = Script(tuple(rich.turns(adapter).values()), (Conversation(rich.SUBTASK, counting),))
    yield Play(script=script, prompt=rich.PROMPT, rewrite=rich.CUT, wire=wire)
    for thoughts in _THOUGHTS[wire]:
        yield Play(script=_looking(adapter), wire=wire, rewrite={wire: thoughts}, options=words(name).effort)
    for model in MODELS[wire]:
        for options in ({}, words(name).effort):
            thoughts = _THOUGHTS[wire][0]
            yield Play(script=_looking(adapter), wire=wire, rewrite={wire: thoughts}, model=model, options=options)


def quick(name: str, wire: str) -> Play:
    """Return one session that has most of them: a known model, reasoning and a picture."""
    adapter, thoughts = backend(name), _THOUGHTS[wire][0]
    model = MODELS[wire][-1]
    return Play(script=_looking(adapter), wire=wire, rewrite={wire: thoughts}, model=model, options=words(name).effort)


def _looking(adapter: Backend) -> Script:
    """Return a script that makes a picture and looks at it."""
    look = ScriptedCall(read="p.png")
    if adapter.name == "codex":  # its shell reads all files but pictures
        look = ScriptedCall(tool="view_image", arguments={"path": "p.png"}, optional=True)
    return Script(
        (
            ScriptedTurn(text="I make a picture.", calls=(ScriptedCall(run=f"echo {_picture()} | base64 -d > p.png"),)),
            ScriptedTurn(text="I look at it.", calls=(look,)),
            ScriptedTurn(calls=(ScriptedCall(run="echo again"),)),
            ScriptedTurn(text="Done."),
        )
    )


def _picture() -> str:
    """Return a small PNG file in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xff\0\0" * 8) * 8)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


def _reasoning_item() -> str:
    """Return the events of an item in which a model of the Responses API has thought."""
    thought = {"type": "summary_text", "text": "thought"}
    item = {"type": "reasoning", "id": "rs_1", "summary": [thought], "encrypted_content": "c2VjcmV0"}
    place = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
    stream: list[tuple[str, dict[str, Any]]] = [
        ("output_item.added", {"output_index": 0, "item": {**item, "summary": []}}),
        ("reasoning_summary_part.added", {**place, "part": {**thought, "text": ""}}),
        ("reasoning_summary_text.delta", {**place, "delta": "thought"}),
        ("reasoning_summary_text.done", {**place, "text": "thought"}),
        ("reasoning_summary_part.done", {**place, "part": thought}),
        ("output_item.done", {"output_index": 0, "item": item}),
    ]
    return "".join(
        f"event: response.{kind}\ndata: {dumps({'type': f'response.{kind}', 'sequence_number': 0, **data})}\n\n"
        for kind, data in stream
    )


def _thinking_block() -> str:
    """Return the events of a block in which a model of the Messages API has thought. The signature comes last."""
    stream: list[tuple[str, dict[str, Any]]] = [
        ("content_block_start", {"content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        ("content_block_delta", {"delta": {"type": "thinking_delta", "thinking": "thought"}}),
        ("content_block_delta", {"delta": {"type": "signature_delta", "signature": "c2ln"}}),
        ("content_block_stop", {}),
    ]
    return "".join(f"event: {kind}\ndata: {dumps({'type': kind, 'index': 0, **data})}\n\n" for kind, data in stream)


_PING = 'event: ping\ndata: {"type":"ping"}\n\n'
_ROLE = '"delta":{"role":"assistant",'
_DETAILS = '"reasoning_details":[{"type":"reasoning.text","text":"x","format":"unknown","index":0}],"reasoning":"x",'
_ITEM = "event: response.output_item.added\n"
_PART = '{"thought":true,"thoughtSignature":"c2ln","text":"thought"},'
_THOUGHTS: Mapping[str, tuple[list[tuple[str, str]], ...]] = {
    ANTHROPIC: ([('"index":1', '"index":2'), ('"index":0', '"index":1'), (_PING, _thinking_block())],),
    CHAT: ([(_ROLE, f'{_ROLE}"reasoning_content":"thought",')], [(_ROLE, _ROLE + _DETAILS)]),
    RESPONSES: ([(_ITEM, _reasoning_item() + _ITEM)],),
    GOOGLE: (
        [
            ('{"text":"', _PART + '{"text":"'),
            (_PART + '{"text":""}', '{"text":""}'),
            ('{"functionCall":', '{"thoughtSignature":"c2ln","functionCall":'),
        ],
    ),
}
"""For each wire, the changes of an answer's bytes that put a real model's reasoning before it, in every form."""


# The lists


def main() -> int:
    """Record the sessions, and write the lists. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.sent", description=__doc__)
    parser.add_argument(
        "--backend",
        action="append",
        choices=own_names(),
        help="add what this one sends; repeatable (default: all)",
    )
    chosen = parser.parse_args().backend
    every = [
        (name, play)
        for name in chosen or own_names()
        for wire in backend(name).capabilities.wires
        for play in jobs(name, wire)
    ]
    with (
        watching(enforced=False) as seen,
        TemporaryDirectory(prefix="sent-") as scratch,
        Stage() as stage,
        ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool,
    ):

        def play(number: int) -> None:
            name, one = every[number]
            result = stage.play(backend(name), Path(scratch) / f"{name}-{number}", one).result
            print(f"{name} over {one.wire}, {one.model}: {result.ending}", flush=True)

        list(pool.map(play, range(len(every))))
    for wire, found in seen.items():
        if chosen:  # the others send what they sent before
            found.add_listed(read_list(wire).recorded)
        write(wire, found.listed())
    return 0


def write(wire: str, found: Listed) -> None:
    """Replace the part `recorded` of a wire's list. What is known by hand is left out of it."""
    file, known = LISTS / f"{wire}.yaml", read_list(wire).known
    by_hand = AllowList(wire, (known,), ())
    kept = Listed(
        paths=found.paths,
        query=found.query,
        headers={name: values for name, values in found.headers.items() if name not in known.dropped},
        body={path: rule for path, rule in found.body.items() if not by_hand.lists(path, rule)},
    )
    head, mark, _ = file.read_text("utf-8").partition("\nrecorded:\n")
    file.write_text(head + mark + "\n".join(_lines(kept)) + "\n", "utf-8")


def _lines(part: Listed) -> Iterator[str]:
    """Yield the part as YAML, a line for each entry."""
    for name, entries in msgspec.to_builtins(part).items():
        if entries:
            yield f"  {name}:"
        for entry in entries:
            value = entries[entry] if isinstance(entries, dict) else None
            key = _flow(entry) if isinstance(entries, dict) else f"- {_flow(entry)}"
            colon = ":" if isinstance(entries, dict) else ""
            if isinstance(value, list) and len(value) > _ON_A_LINE:
                yield f"    {key}:"
                yield from (f"      - {_flow(one)}" for one in value)
            else:
                yield f"    {key}{colon}" + ("" if value is None else f" {_flow(value)}")


_ON_A_LINE = 5
"""How many values of a field share a line."""


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


if __name__ == "__main__":
    sys.exit(main())
