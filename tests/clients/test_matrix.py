"""Every official client over every wire that it speaks, scripted and forwarded: a cell works, or its fault is named."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.matrix import CALLS, CLIENTS, PROGRAMS, SLOW, TEXT, VALUE, Played, play

pytestmark = pytest.mark.clients

ANY = ""
FAULTS: dict[tuple[str, str, str], str] = {
    ("pydantic_ai_sdk.py", "anthropic_messages", ANY): (
        "pydantic-ai 2.38.0 makes an instance of anthropic's BetaMessageParam, which is a Union in anthropic 2.14.0"
    ),
    ("litellm_sdk.py", "google_generate", "page"): "LiteLLM 1.110.2 says 500 for Google's status 502",
}
"""The faults of clients, by program, wire and cell. Each names the version that has it."""


@pytest.mark.parametrize("program", CLIENTS)
def test_a_client_speaks_every_wire(program: str, tmp_path: Path) -> None:
    played = play(program, tmp_path)
    assert {one.wire for one in played} == set(CLIENTS[program])
    wrong = {one.name: fault for one in played if (fault := wrong_with(one))}
    faults = {(wire, cell): said for (client, wire, cell), said in FAULTS.items() if client == program}
    known = {name: fault for name in wrong for fault in faults if is_of(name, *fault)}
    assert {name: fault for name, fault in wrong.items() if name not in known} == {}
    assert set(known.values()) == set(faults), "a fault of the client is mended: take it out of the list"
    if faults:
        pytest.xfail(f"{len(known)} cells: {'; '.join(faults.values())}")


def is_of(name: str, wire: str, cell: str) -> bool:
    """Return whether a cell of this name has the fault of a wire, or of one cell of it."""
    return name.startswith(f"{wire}-") and name.endswith(f"-{cell}" if cell else ANY)


def wrong_with(one: Played) -> str | None:
    """Return what is wrong with a cell, or None if it is as it must be."""
    outcome = dict(one.outcome)
    usage = outcome.pop("usage", None)
    metered = one.metered
    sent = metered.input_tokens + metered.cache_read_tokens + metered.cache_write_tokens
    ledger = {"sent": sent, "said": metered.output_tokens}
    if usage is not None and usage != ledger:
        return f"the client counts {usage}, and the ledger {ledger}"
    if one.cell in {"error", "page"}:
        status, said = (429, SLOW) if one.cell == "error" else (502, "Please sign in.")
        return None if outcome.get("status") == status and said in outcome.get("message", "") else str(outcome)
    if "calls" in outcome:
        outcome["calls"] = sorted(outcome["calls"])
    expected = expectation(one)
    return None if outcome == expected else f"{outcome} is not {expected}"


def expectation(one: Played) -> dict[str, Any]:
    """Return what the client must make of a cell that does not fail."""
    match one.cell:
        case "tools":
            return {"calls": CALLS, "text": TEXT}
        case "structured" | "forced":
            return {"json": VALUE}
        case "short":
            return {"truncated": True}
        case "models":
            return {"models": ["demo"], "model": "demo"}
        case "count":
            return {"count": one.outcome.get("count") or "a number above 0"}
    return {"text": TEXT}


def test_the_types_of_the_clients_are_those_that_are_recorded(tmp_path: Path) -> None:
    python = Path(os.environ["PROCTOR_CLIENTS"]) / "bin" / "python"
    subprocess.run([python, PROGRAMS / "sdk_types.py", tmp_path], check=True)
    recorded = PROGRAMS.with_name("types")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in recorded.iterdir()}
    changed = [path.name for path in tmp_path.iterdir() if path.read_text() != (recorded / path.name).read_text()]
    assert changed == [], "make clients-types records them again"


def test_the_versions_in_the_docs_are_those_that_are_tested() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    pinned = json.loads((PROGRAMS / "package.json").read_text())["dependencies"]
    assert [name for name, version in pinned.items() if f"`{name}` {version}" not in docs] == []
