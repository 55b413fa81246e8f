"""Double entry: what a CLI reports of a session against what the gateway's ledger says of it."""

from __future__ import annotations

from collections.abc import Iterator

from backends.base import ReportingQuirks
from backends.events import Usage as Reported
from backends.session import Session
from harness.gateway.ledger import Metered
from harness.gateway.messages import TokenCounts
from harness.results.record import Difference

_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
_TOKENS = (*_PROMPT, "output_tokens")


def reconcile(
    session: Session, metered: Metered, *, quirks: ReportingQuirks, stopped: bool, attempt: int = 1
) -> list[Difference]:
    """Every count of turns, tool calls and tokens that differs, explained where a habit of the CLI explains it.

    `stopped` says that the harness ended the session. Cost is not compared: that of a CLI is what it believes.
    """
    counts = {"turns": (session.turns, metered.turns), "tool_calls": (session.tool_calls, metered.tool_calls)}
    counts |= {name: (getattr(session.usage, name), getattr(metered, name)) for name in _TOKENS}
    return [
        Difference(
            attempt=attempt,
            field=name,
            reported=reported,
            metered=counted,
            explained=next(_reasons(name, counted - reported, session, metered, quirks, stopped=stopped), None),
        )
        for name, (reported, counted) in counts.items()
        if reported != counted
    ]


def _reasons(
    name: str, missing: int, session: Session, metered: Metered, quirks: ReportingQuirks, *, stopped: bool
) -> Iterator[str]:
    """What explains that so much of `name` is missing in the CLI's report (negative: it reports more)."""
    if name == "tool_calls" and quirks.script_tool in metered.tools_used:
        yield "it counts the calls that a script makes, and not the script's own"
    if name in _PROMPT and quirks.merges_cache_writes and _merged(missing, session, metered):
        yield "it takes tokens written to the cache for others of the prompt"
    if missing < 0:
        if metered.broken_turns and (name != "turns" or -missing <= metered.broken_turns):
            yield "it counts answers that broke off"
        return
    if name in _TOKENS:
        side, broken = getattr(metered.side, name), getattr(metered.broken, name)
        if missing == broken:
            yield "answers that broke off are not in its account"
        if side and missing in {side, side + broken}:
            yield "side requests (titles, summaries) are not in its account"
        if quirks.totals_at_end and session.final is None:
            yield "it tells its totals at the end, which did not come"
    if quirks.hides_refused_calls and name == "tool_calls":
        yield "calls that it refused, or of tools that it does not show, are not in its account"
    if quirks.hides_subagents and session.subagents:
        yield "turns of subagents are not in its account"
    if stopped or not session.finished:
        yield "it ended before it could tell"


def _merged(missing: int, session: Session, metered: Metered) -> bool:
    """Whether it can be that tokens written to the cache are all there, and under another name.

    The prompts' totals tell: they are equal, but for what the CLI leaves out of its account as a rule. Where it leaves
    out more, it can only be why there is too much of one kind, and of no more than was written.
    """
    side, broken = _prompt(metered.side), _prompt(metered.broken)
    left_out = _prompt(metered) - _prompt(session.usage)
    if metered.cache_write_tokens and left_out in {0, side, broken, side + broken}:
        return True
    return left_out > 0 and 0 < -missing <= metered.cache_write_tokens


def _prompt(usage: Reported | Metered | TokenCounts) -> int:
    """All tokens that went into the model, from wherever."""
    return sum(getattr(usage, name) for name in _PROMPT)
