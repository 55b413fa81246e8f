"""Runs the program of one client over every wire that it speaks, against scripted and forwarding gateways."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from harness.gateway.budget import Budget
from harness.gateway.forward import Forwarder
from harness.gateway.ledger import Metered
from harness.gateway.provider import Answer, Call, Provider
from harness.gateway.script import load_script
from harness.gateway.scripted import ScriptedProvider
from harness.gateway.server import Gateway
from harness.http_host import HttpHost
from tests.support.stand_in_upstream import Upstream

PROGRAMS: Final = Path(__file__).with_name("programs")
LONGEST_S: Final = 180
TEXT: Final = "Grüße aus der Ferne. 🌍 " * 6
VALUE: Final = {"answer": 42, "why": "weil"}
CALLS: Final = [["add", {"a": 1, "b": 2}], ["shout", {"text": "grüße"}]]
SLOW: Final = "slow down"

_SAYS: Final = {"text": TEXT}
_SPEAKS: Final = [_SAYS]
_CALLS_TOOLS: Final = [{"calls": [{"tool": name, "arguments": arguments} for name, arguments in CALLS]}, _SAYS]
_TURNS: Final[Mapping[str, list[Any]]] = {
    "text": _SPEAKS,
    "alpha": _SPEAKS,
    "stream": _SPEAKS,
    "silent": _SPEAKS,
    "short": _SPEAKS,
    "models": _SPEAKS,
    "count": _SPEAKS,
    "tools": _CALLS_TOOLS,
    "structured": [{"json": VALUE}],
    "forced": [{"json": VALUE}],
    "error": [{"fail": {"status": 429, "message": SLOW}}],
    "page": [{"fail": {"html": True}}],
}
"""The script of each cell, by its name."""

OPENAI: Final = ("openai_chat", "openai_responses")
ALL: Final = (*OPENAI, "anthropic_messages", "google_generate")
CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_sdk.py": OPENAI,
    "anthropic_sdk.py": ("anthropic_messages",),
    "google_sdk.py": ("google_generate",),
    "litellm_sdk.py": ALL,
    "pydantic_ai_sdk.py": ALL,
    "instructor_sdk.py": ALL,
    "langchain_sdk.py": ALL,
    "ollama_sdk.py": ("none",),
    "openai.mjs": OPENAI,
    "anthropic.mjs": ("anthropic_messages",),
    "google.mjs": ("google_generate",),
    "ai.mjs": (*ALL, "compatible"),
    "ollama.mjs": ("none",),
}
"""The wires of each client, by its program."""


class Played(Struct, frozen=True):
    """What a client made of one cell, and what the gateway has metered of it."""

    cell: str
    wire: str
    mode: str
    outcome: Mapping[str, Any]
    metered: Metered

    @property
    def name(self) -> str:
        """The name of the cell in the matrix."""
        return f"{self.wire}-{self.mode}-{self.cell}"


class _Toolless:
    """A model whose requests without tools are turns, as they are for the gateway before it."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def answer(self, call: Call) -> Answer:
        toolless = msgspec.structs.replace(call.request, toolless=True)
        return await self._provider.answer(msgspec.structs.replace(call, request=toolless))

    async def count_tokens(self, call: Call) -> int:
        return await self._provider.count_tokens(call)


def play(program: str, folder: Path) -> list[Played]:
    """Return what the client of a program made of each cell that it knows."""
    with HttpHost() as host, ExitStack() as stack:
        gateway, accounts, jobs = Gateway(host), {}, []
        for number, (cell, wire, mode) in enumerate(_cells(program)):
            path = folder / f"{number}.yaml"
            path.write_text(json.dumps({"turns": _TURNS[cell]}, ensure_ascii=False), "utf-8")
            provider: Provider = ScriptedProvider(load_script(path))
            toolless = cell not in {"tools", "forced"}
            if mode == "forwarded":
                model = _Toolless(provider) if toolless else provider
                provider = Forwarder(stack.enter_context(Upstream(None, model)).url)
            listener = socket.create_server(("127.0.0.1", 0))
            account = gateway.open_account(
                listener,
                model="demo",
                provider=provider,
                budget=Budget(),
                ledger=path.with_suffix(".jsonl"),
                toolless=toolless,
            )
            stack.callback(account.close)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            accounts[url] = account
            jobs.append({"cell": cell, "wire": wire, "mode": mode, "url": url})
        return [
            Played(done["cell"], done["wire"], done["mode"], done["outcome"], accounts[done["url"]].metered())
            for done in _run(program, jobs)
        ]


def _cells(program: str) -> Iterator[tuple[str, str, str]]:
    for wire in CLIENTS[program]:
        for mode in ("scripted", "forwarded"):
            yield from ((cell, wire, mode) for cell in _TURNS)


def _run(program: str, jobs: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the outcomes that the program prints. Clients print other lines, too."""
    installed = Path(os.environ["PROCTOR_CLIENTS"])
    is_node = program.endswith(".mjs")
    here = installed / "node" if is_node else PROGRAMS
    command = ["node", str(here / program)] if is_node else [str(installed / "bin" / "python"), str(here / program)]
    asked = "".join(f"{json.dumps(job)}\n" for job in jobs)
    ran = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    yield from (json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"cell"'))
