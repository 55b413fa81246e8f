"""Drafts of records. A draft lies in its case's folder until the record is written, and survives a killed process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.case_folder import CaseFolder
from harness.malformed import MALFORMED
from harness.results.aside import is_aside
from harness.results.record import CaseUsage, Record, UsageTotals


def write_draft(folder: CaseFolder, record: Record) -> None:
    """Write the draft of a case, in one step. No crash of the machine leaves a part of it. Raise `OSError`."""
    folder.make()
    new = folder.draft.with_suffix(".new")
    with new.open("wb") as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(record, artifacts=folder.path.name)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder.draft)


def read_draft(folder: CaseFolder) -> Record:
    """Return the draft in a case's folder, with what an unfinished session used.

    Raise `OSError` if there is no draft, and `ValueError` with its name if it holds no record.
    """
    try:
        record = msgspec.json.decode(folder.draft.read_bytes(), type=Record)
    except MALFORMED as error:
        raise ValueError(f"{folder.draft}: not a record: {error}") from error
    return msgspec.structs.replace(record, usage=with_unfinished(record.usage, record, folder))


def with_unfinished(usage: CaseUsage, record: Record, folder: CaseFolder) -> CaseUsage:
    """Return the usage together with that of an attempt which the record lacks, because its process was killed.

    Raise `OSError` if its ledger cannot be read.
    """
    begun = sum(path.is_dir() for path in folder.path.glob("attempt-*")) + 1
    unfinished = begun > len(record.attempts) and folder.ledger.is_file()
    return _with_ledger(usage, folder.ledger) if unfinished else usage


def drafts(run: Path, records: Iterable[Record]) -> list[Record]:
    """Return the drafts in a run's folder for which there is no record. Raise `OSError` or `ValueError`."""
    known = {record.artifacts for record in records}
    folders = (file.parent for file in sorted(run.glob(f"*/{CaseFolder(run).draft.name}")))
    return [read_draft(CaseFolder(path)) for path in folders if path.name not in known and not is_aside(path.name)]


class _LineTokens(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class _RequestLine(Struct):
    """What is needed here of a line of the gateway's ledger."""

    kind: str
    usage: _LineTokens | None = None
    charged: _LineTokens | None = None
    tools_called: tuple[str, ...] = ()
    cost_usd: float | None = None
    error: str | None = None
    refused: str | None = None


def _with_ledger(usage: CaseUsage, ledger: Path) -> CaseUsage:
    """Return the usage of the finished attempts, and of the one whose ledger this is."""
    metered = usage.metered or UsageTotals(turns=0, requests=0, tool_calls=0, cost_usd=0.0)
    for line in ledger.read_bytes().split(b"\n"):
        try:
            request = msgspec.json.decode(line, type=_RequestLine)
        except MALFORMED:  # the kill cut it short
            continue
        if request.kind in {"turn", "side"} and request.refused is None:
            metered = _added(metered, request)
    return msgspec.structs.replace(usage, metered=metered)


def _added(totals: UsageTotals, request: _RequestLine) -> UsageTotals:
    tokens = request.charged or request.usage or _LineTokens()
    turn = request.kind == "turn" and request.usage is not None and request.error is None and request.charged is None
    priced = totals.cost_usd is not None and (request.cost_usd is not None or tokens == _LineTokens())
    return UsageTotals(
        turns=totals.turns + turn,
        requests=(totals.requests or 0) + 1,
        tool_calls=(totals.tool_calls or 0) + (len(request.tools_called) if turn else 0),
        input_tokens=(totals.input_tokens or 0) + tokens.input_tokens,
        output_tokens=(totals.output_tokens or 0) + tokens.output_tokens,
        cache_read_tokens=(totals.cache_read_tokens or 0) + tokens.cache_read_tokens,
        cache_write_tokens=(totals.cache_write_tokens or 0) + tokens.cache_write_tokens,
        cost_usd=(totals.cost_usd or 0.0) + (request.cost_usd or 0.0) if priced else None,
    )
