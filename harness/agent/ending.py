"""Names the ending of a session from all there is to see: stream, exit code and standard error."""

from __future__ import annotations

from datetime import UTC, datetime

from backends.events import ErrorKind
from backends.reading.errors import error_kind
from backends.session import Session
from harness.case import Limits
from harness.endings import Ending

_SIGNS = Limits()
"""How many empty turns, or compactions without a tool call between them, are no accident any more."""

_BY_KIND = {
    ErrorKind.AUTH: Ending.AUTH_FAILED,
    ErrorKind.RATE_LIMIT: Ending.RATE_LIMITED,
    ErrorKind.CONTEXT_OVERFLOW: Ending.CONTEXT_OVERFLOW,
    ErrorKind.MODEL_UNREACHABLE: Ending.MODEL_UNREACHABLE,
    ErrorKind.MODEL_ERROR: Ending.MODEL_ERROR,
    ErrorKind.OUTPUT_TOKENS: Ending.OUTPUT_TOKEN_LIMIT,
    ErrorKind.MODEL_REFUSED_TOOLS: Ending.MODEL_REFUSED_TOOLS,
    ErrorKind.COMPACTION: Ending.ENDLESS_COMPACTION,
    ErrorKind.CLI: Ending.CLI_CRASHED,
    ErrorKind.OTHER: Ending.CLI_CRASHED,
}

_OWN_LIMITS = {"error_max_turns": Ending.TURN_LIMIT, "error_max_budget_usd": Ending.COST_LIMIT}
"""The final reasons by which Claude Code says that a limit of its own stopped it."""

_CUT = {
    "length": (Ending.OUTPUT_TOKEN_LIMIT, "the last response was cut by its output limit"),
    "max_tokens": (Ending.OUTPUT_TOKEN_LIMIT, "the last response was cut by its output limit"),
    "model_context_window_exceeded": (Ending.CONTEXT_OVERFLOW, "the last response was cut by the model's context"),
}
"""Stop reasons of a response that a limit of the model cut, as the OpenAI and Anthropic wires say it."""


def classify(session: Session, *, exit_code: int | None, stderr_tail: str) -> tuple[Ending, str]:
    """The ending and one line that explains it.

    `exit_code` is negative for a signal and none if it is not known. A session without its backend's sign of an end
    is never `finished`. For a session that the harness ended, its `Stop` says why instead.
    """
    if session.failure:
        ending = _BY_KIND[session.failure.kind]
        return ending, _one_line(session.failure.message + (_reset(session) if ending is Ending.RATE_LIMITED else ""))
    if session.final and session.final.is_error:
        ending = _OWN_LIMITS.get(session.final.reason, Ending.CLI_CRASHED)
        return ending, _one_line(f"the CLI ended with {session.final.reason}: {session.final.text}")
    if session.final or (session.finished and not exit_code):
        return _finished(session)
    return _unfinished(session, exit_code, stderr_tail)


def _reset(session: Session) -> str:
    """When the rate limit ends, if it was said, and if not as text of the error itself."""
    said = session.resets_at
    if isinstance(said, float):
        try:
            return f" (resets {datetime.fromtimestamp(said, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        except (ValueError, OverflowError, OSError):  # no such date
            return ""
    message = session.failure.message if session.failure else ""
    return "" if said is None or str(said) in message else f" (resets: {said})"


def _finished(session: Session) -> tuple[Ending, str]:
    absent = _absent_mcp(session)
    if absent:
        return Ending.MCP_UNAVAILABLE, _one_line(f"the agent worked without its MCP tools ({absent})")
    return Ending.FINISHED, "the agent ended its session"


def _absent_mcp(session: Session) -> str:
    """The MCP servers that were not there, and what became of them."""
    present = {"connected", "disabled"}
    return ", ".join(f"{name}: {status}" for name, status in session.mcp_servers.items() if status not in present)


def _unfinished(session: Session, exit_code: int | None, stderr_tail: str) -> tuple[Ending, str]:
    if session.empty_turns >= _SIGNS.empty_turns:
        return Ending.EMPTY_STEPS, f"the last {session.empty_turns} responses were empty"
    if session.compactions_in_a_row >= _SIGNS.compactions:
        return Ending.ENDLESS_COMPACTION, f"{session.compactions_in_a_row} compactions without a tool call"
    if exit_code:
        return _failed(session, exit_code, stderr_tail)
    if session.stop_reason in _CUT:
        return _CUT[session.stop_reason]
    ended = "the stream ends" if exit_code is None else "the CLI exited with code 0"
    return Ending.SILENT_EXIT, f"{ended} without a final event after {session.turns} turns"


def _failed(session: Session, exit_code: int, stderr_tail: str) -> tuple[Ending, str]:
    if exit_code < 0:
        return Ending.CLI_CRASHED, f"the CLI was killed by signal {-exit_code}"
    if not session.turns and (absent := _absent_mcp(session)):
        return Ending.MCP_UNAVAILABLE, _one_line(f"the CLI did not start without its MCP servers ({absent})")
    said = [line[:500] for line in stderr_tail.strip().splitlines()[-3:]]
    kind = error_kind("\n".join(said))
    last_line = said[-1] if said else "nothing on standard error"
    return _BY_KIND[kind], _one_line(f"the CLI exited with code {exit_code}: {last_line}")


def _one_line(text: str) -> str:
    """Fit for a terminal and a table: no line break or control character, at most 300 characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text[:2000].split()))[:300]
