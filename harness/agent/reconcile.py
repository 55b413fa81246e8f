"""Double entry: compares what a CLI reports about a session with the gateway's ledger."""

from __future__ import annotations

from collections.abc import Iterator

from backends.base import ReportingQuirks
from backends.session import Session
from harness.gateway.ledger import Metered
from harness.gateway.messages import TokenCounts
from harness.results.record import Difference

_PROMPT = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
_TOKENS = (*_PROMPT, "output_tokens")


def reconcile(
    session: Session, metered: Metered, *, quirks: ReportingQuirks, stopped: bool, attempt: int = 1
) -> list[Difference]:
    """Return every difference in the counts of turns, tool calls and tokens, as far as the CLI tells them.

    A difference is explained if a known habit of the CLI explains it. `stopped` is true if the harness ended the
    session. Cost is not compared, because a CLI only estimates it.
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
        if reported is not None and reported != counted
    ]


def _reasons(
    name: str, missing: int, session: Session, metered: Metered, quirks: ReportingQuirks, *, stopped: bool
) -> Iterator[str]:
    """Yield what explains that `missing` of `name` are not in the CLI's report. Negative: the CLI reports too many."""
    if name == "tool_calls" and quirks.script_tool in metered.tools_used:
        yield "it counts the calls that a script makes, but not the call of the script itself"
    if name in _PROMPT and quirks.merges_cache_writes and _merged(missing, session, metered):
        yield "it counts tokens written to the cache as another kind of prompt tokens"
    if name == "turns":
        yield from _compactions(missing, session, metered, quirks)
    if missing < 0:
        yield from _surplus(name, -missing, session, metered)
        return
    if name in _TOKENS:
        side, broken = getattr(metered.side, name), getattr(metered.broken, name)
        if missing == broken:
            yield "it does not count answers that broke off"
        if side and missing in {side, side + broken}:
            yield "it does not count side requests (titles, summaries)"
        if quirks.totals_at_end and session.final is None:
            yield "it reports its totals at the end, which it did not reach"
    if name == "tool_calls" and (refuses := _refused_calls(session, quirks)):
        yield refuses
    if quirks.hides_subagents and session.subagents:
        yield "it does not count turns of subagents"
    if stopped or not session.finished:
        yield "it ended before it could report them"


def _surplus(name: str, surplus: int, session: Session, metered: Metered) -> Iterator[str]:
    """Yield what explains that the CLI reports too many."""
    if metered.broken_turns and (name != "turns" or surplus <= metered.broken_turns):
        yield "it counts answers that broke off"
    if name in _TOKENS and session.reported.guessed:
        yield "it goes on with totals that it had not reported when it was killed"


def _compactions(missing: int, session: Session, metered: Metered, quirks: ReportingQuirks) -> Iterator[str]:
    """Yield what explains missing turns, or too many, by responses that compacted the conversation."""
    if 0 < missing <= session.compactions * quirks.summaries_tried:
        yield "it does not count the responses that compact the conversation"
    if quirks.counts_compactions and 0 < -missing <= metered.side_requests:
        yield "it counts the responses that compact the conversation"


def _refused_calls(session: Session, quirks: ReportingQuirks) -> str | None:
    """Return what explains missing calls, by those that the CLI does not carry out or does not show."""
    if quirks.hides_refused_calls:
        return "it does not count calls that it refused or calls of tools that it hides"
    return "it carries out no call of a response that compacts the conversation" if session.compactions else None


def _merged(missing: int, session: Session, metered: Metered) -> bool:
    """Return whether the CLI may have reported all tokens written to the cache as another kind of tokens.

    If so, the totals of the prompts are equal, apart from what the CLI leaves out as a rule. If the CLI leaves out
    more, this can explain only a surplus of one kind, and no more tokens than were written to the cache.
    """
    side, broken = _prompt(metered.side), _prompt(metered.broken)
    left_out = _prompt(metered) - session.usage.prompt_tokens
    if metered.cache_write_tokens and left_out in {0, side, broken, side + broken}:
        return True
    return left_out > 0 and 0 < -missing <= metered.cache_write_tokens


def _prompt(usage: Metered | TokenCounts) -> int:
    """Return all tokens that went into the model, cached or not."""
    return sum(getattr(usage, name) for name in _PROMPT)
