"""Names the ending of a session from all there is to see: stream, exit code, standard error, and who stopped it."""

from __future__ import annotations

from backends.errors import error_kind
from backends.events import ErrorKind
from backends.session import Session
from harness.case import Ending

EMPTY_TURNS = 3
"""So many empty turns in a row are no accident: the CLI would go on asking for ever."""

_BY_KIND = {
    ErrorKind.AUTH: Ending.AUTH_FAILED,
    ErrorKind.RATE_LIMIT: Ending.RATE_LIMITED,
    ErrorKind.CONTEXT_OVERFLOW: Ending.CONTEXT_OVERFLOW,
    ErrorKind.MODEL_UNREACHABLE: Ending.MODEL_UNREACHABLE,
    ErrorKind.MODEL_ERROR: Ending.MODEL_ERROR,
    ErrorKind.OUTPUT_TOKENS: Ending.OUTPUT_TOKEN_LIMIT,
    ErrorKind.MODEL_REFUSED_TOOLS: Ending.MODEL_REFUSED_TOOLS,
    ErrorKind.CLI: Ending.CLI_CRASHED,
    ErrorKind.OTHER: Ending.CLI_CRASHED,
}

_OWN_LIMITS = {"error_max_turns": Ending.TURN_LIMIT, "error_max_budget_usd": Ending.COST_LIMIT}
"""The final reasons by which Claude Code says that a limit of its own stopped it."""

_OUTPUT_CUT = {"length", "max_tokens"}
"""Stop reasons of a response that its output limit cut, as the OpenAI and Anthropic wires say it."""


def classify(
    session: Session, *, exit_code: int | None, stderr_tail: str, stopped_by: Ending | None
) -> tuple[Ending, str]:
    """The ending and one line that explains it.

    `exit_code` is negative for a signal and none if it is not known; `stopped_by` is what the harness stopped the
    session for, and wins. A session without its backend's sign of an end is never `finished`.
    """
    if stopped_by is not None:
        return stopped_by, f"stopped by the harness: {stopped_by.value.replace('_', ' ')}"
    if session.failure:
        return _BY_KIND[session.failure.kind], _one_line(session.failure.message)
    if session.final and session.final.is_error:
        ending = _OWN_LIMITS.get(session.final.reason, Ending.CLI_CRASHED)
        return ending, _one_line(f"the CLI ended with {session.final.reason}: {session.final.text}")
    if session.final or (session.finished and not exit_code):
        return _finished(session)
    return _unfinished(session, exit_code, stderr_tail)


def _finished(session: Session) -> tuple[Ending, str]:
    absent = {name: status for name, status in session.mcp_servers.items() if status not in {"connected", "disabled"}}
    if absent:
        said = ", ".join(f"{name}: {status}" for name, status in absent.items())
        return Ending.MCP_UNAVAILABLE, _one_line(f"the agent worked without its MCP tools ({said})")
    return Ending.FINISHED, "the agent ended its session"


def _unfinished(session: Session, exit_code: int | None, stderr_tail: str) -> tuple[Ending, str]:
    if session.empty_turns >= EMPTY_TURNS:
        return Ending.EMPTY_STEPS, f"the last {session.empty_turns} responses were empty"
    if exit_code is not None and exit_code < 0:
        return Ending.CLI_CRASHED, f"the CLI was killed by signal {-exit_code}"
    if exit_code:
        said = [line[:500] for line in stderr_tail.strip().splitlines()[-3:]]
        kind = error_kind("\n".join(said))
        last_line = said[-1] if said else "nothing on standard error"
        return _BY_KIND[kind], _one_line(f"the CLI exited with code {exit_code}: {last_line}")
    if session.stop_reason in _OUTPUT_CUT:
        return Ending.OUTPUT_TOKEN_LIMIT, "the last response was cut by its output limit"
    ended = "the stream ends" if exit_code is None else "the CLI exited with code 0"
    return Ending.SILENT_EXIT, f"{ended} without a final event after {session.turns} turns"


def _one_line(text: str) -> str:
    """Fit for a terminal and a table: no line break or control character, at most 300 characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text[:2000].split()))[:300]
