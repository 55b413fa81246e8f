"""Joins a transcript with the gateway's ledger: when each turn was, how long it took, and what it cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path

import msgspec
from msgspec import Struct

from backends.events import Usage
from harness.gateway.ledger import LedgerEntry
from harness.gateway.messages import TokenCounts
from harness.transcript.turns import MeteredTurn, Notice, Said, Thread, ToolUse, Turn

_DECODER = msgspec.json.Decoder(LedgerEntry)


class MeteredResponse(Struct, frozen=True):
    """A line of the ledger about a whole model response: the names of the tools that it called, and its measures.

    `number` counts the responses from 1. `before` is how many responses the conversation had before it.
    """

    number: int
    before: int | None
    tools: tuple[str, ...]
    turn: MeteredTurn


def read_ledger(path: Path) -> list[LedgerEntry]:
    """Return the lines of a ledger. Incomplete lines are skipped. Raise `OSError` if it cannot be read."""
    entries = []
    with path.open("rb") as file:
        for line in file:
            try:
                entries.append(_DECODER.decode(line))
            except msgspec.DecodeError:
                continue
    return entries


def responses(entries: Sequence[LedgerEntry]) -> list[MeteredResponse]:
    """Return the whole model responses of a ledger, by the time of their requests."""
    asked = sorted((entry for entry in entries if entry.kind == "turn"), key=lambda entry: entry.time)
    whole: list[LedgerEntry] = []
    failed: list[list[int | None]] = [[]]
    for entry in asked:
        if entry.status == 200 and not entry.error:
            whole.append(entry)
            failed.append([])
        elif not entry.refused:
            failed[-1].append(None if entry.status == 200 else entry.status)
    numbered = enumerate(zip_longest(whole, whole[1:], failed[: len(whole)]), 1)
    return [_response(number, *one) for number, one in numbered]


def limits_struck(entries: Iterable[LedgerEntry]) -> list[str]:
    """Return the limits for which the gateway refused requests, each once."""
    return list(dict.fromkeys(entry.refused for entry in entries if entry.refused))


def metered(thread: Thread, ledger: Sequence[MeteredResponse]) -> Thread:
    """Return the thread with the measures of each turn that a line of the ledger can be matched with.

    Some CLIs do not say to which response a text or a call belongs. Their stream gives one unnumbered turn, which the
    ledger splits. The others are matched in order, by the names of the tools that they called.
    """
    if any(call.subagent and not call.subagent.entries for call in thread.calls):
        ledger = _of_main_agent(thread, ledger)
    if all(turn.number is None for turn in thread.turns):
        return _split(thread, ledger)
    turns = list(_all_turns(thread))
    keys = [tuple(_plain(call.name) for call in turn.calls) for turn in turns]
    their_keys = [tuple(map(_plain, response.tools)) for response in ledger]
    if len(keys) == len(their_keys):
        found = dict(enumerate(range(len(keys))))
    else:
        blocks = SequenceMatcher(None, keys, their_keys, autojunk=False).get_matching_blocks()
        found = {block.a + step: block.b + step for block in blocks for step in range(block.size)}
    measures = iter([ledger[found[index]].turn if index in found else None for index in range(len(turns))])
    return _with_measures(thread, measures)


def _of_main_agent(thread: Thread, ledger: Sequence[MeteredResponse]) -> list[MeteredResponse]:
    """Return the responses to the main agent, for a CLI that does not show what its subagents did.

    A subagent begins a conversation of its own. A compaction shortens one, and cannot be told from that.
    """
    if any(isinstance(entry, Notice) and entry.kind == "compaction" for entry in thread.entries):
        return list(ledger)
    found, length = [], 0
    for response in ledger:
        if response.before is None or response.before >= length:
            found.append(response)
            length = length + 1 if response.before is None else response.before + 1
    return found


def _response(
    number: int, entry: LedgerEntry, after: LedgerEntry | None, failed: Sequence[int | None]
) -> MeteredResponse:
    used = entry.usage
    usage = Usage() if used is None else _usage(used)
    gap = None if after is None else max(0.0, _seconds(after.time) - _seconds(entry.time) - entry.duration_s)
    turn = MeteredTurn(
        at=entry.time,
        model_s=entry.duration_s,
        after_s=gap,
        usage=usage,
        cost_usd=entry.cost_usd,
        failed=tuple(failed),
    )
    return MeteredResponse(number, entry.turn, entry.tools_called, turn)


def _usage(used: TokenCounts) -> Usage:
    return Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
    )


def _split(thread: Thread, ledger: Sequence[MeteredResponse]) -> Thread:
    """Return the thread with its parts divided into one turn for each response of the ledger."""
    items = [part for entry in thread.entries for part in (entry.parts if isinstance(entry, Turn) else (entry,))]
    known = {_plain(name) for response in ledger for name in response.tools}
    entries: list[Turn | Notice] = []
    for response in ledger:
        notices, parts, items = _take(items, [_plain(name) for name in response.tools], known)
        entries += notices
        entries.append(Turn(number=response.number, parts=parts, metered=response.turn))
    rest = [item for item in items if not isinstance(item, Notice)]
    first = next((place for place, item in enumerate(items) if not isinstance(item, Notice)), 0)
    entries += [item for item in items[:first] if isinstance(item, Notice)]
    entries += [Turn(number=None, parts=tuple(rest))] if rest else []
    entries += [item for item in items[first:] if isinstance(item, Notice)]
    return Thread(entries=tuple(entries), left_out=thread.left_out)


def _take(
    items: list[Said | ToolUse | Notice], wanted: list[str], known: set[str]
) -> tuple[list[Notice], tuple[Said | ToolUse, ...], list[Said | ToolUse | Notice]]:
    """Return the notices and parts of the next response, and the items that are left.

    A response is what the model said, and then its calls. `wanted` are the names of the calls. A call whose name occurs
    nowhere in the ledger (`known`) has another name there, so it counts as the next one.
    """
    notices: list[Notice] = []
    parts: list[Said | ToolUse] = []
    for index, item in enumerate(items):
        name = _plain(item.name) if isinstance(item, ToolUse) else ""
        if isinstance(item, Notice):
            if parts:
                return notices, tuple(parts), items[index:]
            notices.append(item)
        elif isinstance(item, Said):
            if any(isinstance(part, ToolUse) for part in parts):
                return notices, tuple(parts), items[index:]
            parts.append(item)
        elif wanted and (name in wanted or name not in known):
            wanted.remove(name if name in wanted else wanted[0])
            parts.append(item)
        else:
            return notices, tuple(parts), items[index:]
    return notices, tuple(parts), []


def _all_turns(thread: Thread) -> Iterable[Turn]:
    """Return the turns in the order of their requests: those of a subagent follow the turn that started it."""
    for turn in thread.turns:
        yield turn
        for call in turn.calls:
            if call.subagent:
                yield from _all_turns(call.subagent)


def _with_measures(thread: Thread, measures: Iterator[MeteredTurn | None]) -> Thread:
    """Return the thread with the next measure for each turn, in the order of `_all_turns`."""
    entries = tuple(entry if isinstance(entry, Notice) else _measured_turn(entry, measures) for entry in thread.entries)
    return Thread(entries=entries, left_out=thread.left_out)


def _measured_turn(turn: Turn, measures: Iterator[MeteredTurn | None]) -> Turn:
    measure = next(measures)  # before those of its subagents
    parts = tuple(_measured(part, measures) for part in turn.parts)
    return msgspec.structs.replace(turn, metered=measure, parts=parts)


def _measured(part: Said | ToolUse, measures: Iterator[MeteredTurn | None]) -> Said | ToolUse:
    if isinstance(part, Said) or part.subagent is None:
        return part
    return msgspec.structs.replace(part, subagent=_with_measures(part.subagent, measures))


def _plain(name: str) -> str:
    """Return the letters and digits of a tool's name. A CLI may show other separators than the model uses."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
