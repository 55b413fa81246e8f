"""What the programs of all Python clients share. They run in the clients' own environment, without Proctor.

A program reads its jobs as JSON lines, and prints what its client made of each answer as a JSON line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

PROMPT = "Say hello."
KEY = "sealed"
ADD = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
SHOUT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
VERDICT = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["answer", "why"],
    "additionalProperties": False,
}
Job = Mapping[str, Any]
Cell = Callable[[str, str], Mapping[str, Any]]
"""A function that asks the gateway at an address over a wire, and returns what the client says."""


def used(sent: int | None, said: int | None) -> dict[str, int]:
    """Return the usage that a client reports: all tokens of the prompt, and those of the answer."""
    return {"sent": sent or 0, "said": said or 0}


def total(*usages: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of some usages."""
    return used(sum(one["sent"] for one in usages), sum(one["said"] for one in usages))


def run(cells: Mapping[str, Cell]) -> None:
    """Do each job, and print its outcome. An exception is an outcome."""
    for line in sys.stdin:
        job = json.loads(line)
        cell = cells.get(job["cell"])
        if cell is None:
            continue
        try:
            outcome = dict(cell(job["url"], job["wire"]))
        except Exception as error:
            outcome = {"raised": type(error).__name__, "status": _status(error), "message": str(error)[:2000]}
        print(json.dumps({**job, "outcome": outcome}), flush=True)


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error, or of the error that led to it."""
    while error is not None:
        for name in ("status_code", "code"):
            if isinstance(getattr(error, name, None), int):
                return int(getattr(error, name))
        error = error.__cause__ or error.__context__
    return None
