"""Finds the ending of a session from its stream, its exit code and its standard error."""

from __future__ import annotations

from datetime import UTC, datetime

from backends.events import ErrorKind, Malformed, SessionFinished, StopReason
from backends.reading.errors import clear_kind, error_kind, without_traces
from backends.session import Session
from harness.case import Limits
from harness.endings import Ending

_STDERR_READ = 16_384
"""How many characters at the end of standard error may say why a CLI crashed."""

_BY_KIND = {
    ErrorKind.AUTH: Ending.AUTH_FAILED,
    ErrorKind.RATE_LIMIT: Ending.RATE_LIMITED,
    ErrorKind.CONTEXT_OVERFLOW: Ending.CONTEXT_OVERFLOW,
    ErrorKind.MODEL_UNREACHABLE: Ending.MODEL_UNREACHABLE,
    ErrorKind.MODEL_ERROR: Ending.MODEL_ERROR,
    ErrorKind.OUTPUT_TOKENS: Ending.OUTPUT_TOKEN_LIMIT,
    ErrorKind.MODEL_REFUSED_TOOLS: Ending.MODEL_REFUSED_TOOLS,
    ErrorKind.REFUSED: Ending.REFUSED,
    ErrorKind.MALFORMED_TOOL_CALL: Ending.MALFORMED_TOOL_CALL,
    ErrorKind.MCP: Ending.MCP_UNAVAILABLE,
    ErrorKind.COMPACTION: Ending.ENDLESS_COMPACTION,
    ErrorKind.CLI: Ending.CLI_CRASHED,
    ErrorKind.OTHER: Ending.CLI_CRASHED,
}

_BY_LIMIT = {"turns": Ending.TURN_LIMIT, "tokens": Ending.TOKEN_LIMIT, "cost_usd": Ending.COST_LIMIT}
"""The endings by a limit that the CLI itself enforces (`Backend.own_limits`)."""

_CUT = {
    StopReason.OUTPUT_LIMIT: (Ending.OUTPUT_TOKEN_LIMIT, "the last response was cut by its output limit"),
    StopReason.CONTEXT_LIMIT: (Ending.CONTEXT_OVERFLOW, "the last response was cut by the model's context"),
    StopReason.REFUSED: (Ending.REFUSED, "the model, or a content filter, refused the last response"),
}
"""The endings by a last response that the model did not complete."""


def classify(
    session: Session, *, exit_code: int | None, stderr_tail: str, limits: Limits | None = None
) -> tuple[Ending, str]:
    """Return the ending, and one line that explains it.

    `exit_code` is negative for a signal, and `None` if it is not known. `limits` are those of the session, and `None`
    if they are not known. Every limit of the CLI itself then counts as the case's own. A session whose stream does not
    show its end is never `finished`. For a session that the harness ended, `Stop` says why instead.
    """
    if session.failure:
        if session.failure.kind is ErrorKind.OTHER and (told := _told(stderr_tail)):
            return told
        ending = _BY_KIND[session.failure.kind]
        return ending, one_line(session.failure.message + (_reset(session) if ending is Ending.RATE_LIMITED else ""))
    if session.final and (session.final.is_error or session.final.limit):
        return _stopped_itself(session, session.final, limits)
    if session.final or (session.finished and (not exit_code or _overcame(session, exit_code))):
        return _finished(session)
    return _unfinished(session, exit_code, stderr_tail.strip() or _plain_text(session), limits or Limits())


def _plain_text(session: Session) -> str:
    """Return what a CLI that never got a response printed in place of a stream: it may be the error."""
    sample = session.malformed_sample
    return sample.event.sample if sample and not session.turns and isinstance(sample.event, Malformed) else ""


def _stopped_itself(session: Session, final: SessionFinished, limits: Limits | None) -> tuple[Ending, str]:
    """Return the ending of a session whose final event tells an error, or a limit of the CLI itself.

    Such a limit decides only if the case has reached its own. Otherwise the CLI has stopped too early.
    """
    said = f"the CLI ended with {final.reason}: {final.text}"
    if final.limit not in _BY_LIMIT:
        return Ending.CLI_CRASHED, one_line(said)
    allowed: float | None = getattr(limits, final.limit) if limits else 0
    used = _used(session, final)[final.limit]
    if allowed is not None and (used is None or used >= allowed):
        return _BY_LIMIT[final.limit], one_line(said)
    own = f"limits.{final.limit} is {'null' if allowed is None else f'{allowed:g}'}"
    reports = "" if used is None else f", and it reports {used:g}"
    return Ending.CLI_CRASHED, one_line(
        f"the CLI ended at a limit of its own, {final.reason}, too early: {own}{reports}"
    )


def _used(session: Session, final: SessionFinished) -> dict[str, float | None]:
    """Return what the CLI reports of each limit that it may enforce itself. `None`: it does not tell."""
    usage = session.usage
    told = None not in (usage.input_tokens, usage.output_tokens)
    return {
        "turns": max(session.turns, final.turns),
        "tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0) if told else None,
        "cost_usd": session.cost_usd,
    }


def _reset(session: Session) -> str:
    """Return a text that says when the rate limit ends. It is empty if that is not known, or if the error says it."""
    said = session.resets_at
    if isinstance(said, float):
        try:
            return f" (resets {datetime.fromtimestamp(said, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        except (ValueError, OverflowError, OSError):  # no such date
            return ""
    message = session.failure.message if session.failure else ""
    return "" if said is None or str(said) in message else f" (resets: {said})"


def _overcame(session: Session, exit_code: int) -> bool:
    """Return whether the exit code may only tell of an error that the session overcame, as OpenCode's does."""
    return exit_code == 1 and session.error_count > 0


def _finished(session: Session) -> tuple[Ending, str]:
    if session.stop_reason is StopReason.REFUSED:
        return _CUT[StopReason.REFUSED]
    if session.calls_not_run:
        return Ending.SILENT_EXIT, "the CLI ended the session although the last response calls a tool that never ran"
    absent = _absent_mcp(session)
    if absent:
        return Ending.MCP_UNAVAILABLE, one_line(f"the agent worked without its MCP tools ({absent})")
    return Ending.FINISHED, "the agent ended its session"


def _absent_mcp(session: Session) -> str:
    """Return the MCP servers whose tools were missing, each with its status."""
    return ", ".join(f"{name}: {status}" for name, status in session.absent_mcp.items())


def _unfinished(session: Session, exit_code: int | None, stderr_tail: str, limits: Limits) -> tuple[Ending, str]:
    if session.empty_turns >= limits.empty_turns:
        return Ending.EMPTY_STEPS, f"the last {session.empty_turns} responses were empty"
    if session.compactions_in_a_row >= limits.compactions:
        return Ending.ENDLESS_COMPACTION, f"{session.compactions_in_a_row} compactions without a tool call"
    if exit_code:
        return _failed(session, exit_code, stderr_tail)
    if session.stop_reason and session.stop_reason in _CUT:
        return _CUT[session.stop_reason]
    if told := _told(stderr_tail):
        return told
    ended = "the stream ends" if exit_code is None else "the CLI exited with code 0"
    return Ending.SILENT_EXIT, f"{ended} without a final event after {session.turns} turns"


def _failed(session: Session, exit_code: int, stderr_tail: str) -> tuple[Ending, str]:
    if exit_code < 0:
        return Ending.CLI_CRASHED, f"the CLI was killed by signal {-exit_code}"
    if not session.turns and (absent := _absent_mcp(session)):
        return Ending.MCP_UNAVAILABLE, one_line(f"the CLI did not start without its MCP servers ({absent})")
    said = _last_lines(stderr_tail)
    kind = error_kind("\n".join(said))
    if kind is ErrorKind.OTHER and session.stop_reason in _CUT:
        return _CUT[session.stop_reason]
    last_line = said[-1] if said else "nothing on standard error"
    return _BY_KIND[kind], one_line(f"the CLI exited with code {exit_code}: {last_line}")


def _told(stderr_tail: str) -> tuple[Ending, str] | None:
    """Return the ending that the last lines of standard error name in clear words, or `None`."""
    said = _last_lines(stderr_tail)
    kind = clear_kind("\n".join(said))
    return None if kind is None else (_BY_KIND[kind], one_line(" ".join(said)))


def _last_lines(stderr_tail: str) -> list[str]:
    lines = without_traces(stderr_tail[-_STDERR_READ:]).splitlines()
    return [line[:500] for line in lines if line.strip()][-3:]


def one_line(text: str) -> str:
    """Return the text for a terminal or a table: at most 300 characters, without line breaks or control characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text[:2000].split()))[:300]
