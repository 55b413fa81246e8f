"""How a case can end: the one table of endings, and the errors that end a case."""

from __future__ import annotations

import re
import traceback
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, NamedTuple


class Cause(StrEnum):
    """Who is responsible for an ending."""

    AGENT = "agent"
    LIMIT = "limit"
    MODEL = "model"
    CLI = "cli"
    MCP = "mcp"
    SANDBOX = "sandbox"
    HARNESS = "harness"


class Ending(StrEnum):
    """Why an agent's session stopped."""

    FINISHED = "finished"
    TURN_LIMIT = "turn_limit"
    COST_LIMIT = "cost_limit"
    TOKEN_LIMIT = "token_limit"
    BUDGET_SPENT = "budget_spent"
    WALL_LIMIT = "wall_limit"
    IDLE_LIMIT = "idle_limit"
    OUTPUT_LIMIT = "output_limit"
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    OUTPUT_TOKEN_LIMIT = "output_token_limit"
    CONTEXT_OVERFLOW = "context_overflow"
    REFUSED = "refused"
    MALFORMED_TOOL_CALL = "malformed_tool_call"
    EMPTY_STEPS = "empty_steps"
    ENDLESS_COMPACTION = "endless_compaction"
    RATE_LIMITED = "rate_limited"
    AUTH_FAILED = "auth_failed"
    MODEL_REFUSED_TOOLS = "model_refused_tools"
    MODEL_UNREACHABLE = "model_unreachable"
    MODEL_ERROR = "model_error"
    STALLED = "stalled"
    MCP_UNAVAILABLE = "mcp_unavailable"
    CLI_MISSING = "cli_missing"
    UNAVAILABLE = "unavailable"
    CLI_CRASHED = "cli_crashed"
    SILENT_EXIT = "silent_exit"
    HUNG_AFTER_FINAL = "hung_after_final"
    CLI_BROKEN = "cli_broken"
    SANDBOX_FAILED = "sandbox_failed"
    ENVIRONMENT_FAILED = "environment_failed"
    INTERRUPTED = "interrupted"
    HARNESS_ERROR = "harness_error"


class EndingPolicy(NamedTuple):
    """What follows from an ending. `outcome` is `score` (the grade decides), `error` or `skipped`."""

    cause: Cause
    retried: bool
    graded: bool
    outcome: str


_LIMIT = EndingPolicy(Cause.LIMIT, retried=False, graded=True, outcome="score")
_SKIPPED = EndingPolicy(Cause.HARNESS, retried=False, graded=False, outcome="skipped")
_AGENT = EndingPolicy(Cause.AGENT, retried=False, graded=True, outcome="score")


def _error(cause: Cause, *, retried: bool) -> EndingPolicy:
    return EndingPolicy(cause, retried=retried, graded=False, outcome="error")


ENDINGS: dict[Ending, EndingPolicy] = {
    Ending.FINISHED: _AGENT,
    Ending.TURN_LIMIT: _LIMIT,
    Ending.COST_LIMIT: _LIMIT,
    Ending.TOKEN_LIMIT: _LIMIT,
    Ending.BUDGET_SPENT: EndingPolicy(Cause.LIMIT, retried=False, graded=False, outcome="skipped"),
    Ending.WALL_LIMIT: _LIMIT,
    Ending.IDLE_LIMIT: _LIMIT,
    Ending.OUTPUT_LIMIT: _LIMIT,
    Ending.MEMORY_LIMIT: _LIMIT,
    Ending.PROCESS_LIMIT: _LIMIT,
    Ending.DISK_LIMIT: _LIMIT,
    Ending.OUTPUT_TOKEN_LIMIT: _AGENT,
    Ending.CONTEXT_OVERFLOW: _AGENT,
    Ending.REFUSED: _AGENT,
    Ending.MALFORMED_TOOL_CALL: _AGENT,
    Ending.EMPTY_STEPS: _AGENT,
    Ending.ENDLESS_COMPACTION: _AGENT,
    Ending.RATE_LIMITED: _error(Cause.MODEL, retried=True),
    Ending.AUTH_FAILED: _error(Cause.MODEL, retried=False),
    Ending.MODEL_REFUSED_TOOLS: _error(Cause.MODEL, retried=False),
    Ending.MODEL_UNREACHABLE: _error(Cause.MODEL, retried=True),
    Ending.MODEL_ERROR: _error(Cause.MODEL, retried=True),
    Ending.STALLED: _error(Cause.MODEL, retried=True),
    Ending.MCP_UNAVAILABLE: _error(Cause.MCP, retried=True),
    Ending.CLI_MISSING: _SKIPPED,
    Ending.UNAVAILABLE: _SKIPPED,
    Ending.CLI_CRASHED: _error(Cause.CLI, retried=True),
    Ending.SILENT_EXIT: _error(Cause.CLI, retried=True),
    Ending.HUNG_AFTER_FINAL: EndingPolicy(Cause.CLI, retried=False, graded=True, outcome="score"),
    Ending.CLI_BROKEN: _AGENT,
    Ending.SANDBOX_FAILED: _error(Cause.SANDBOX, retried=True),
    Ending.ENVIRONMENT_FAILED: _error(Cause.HARNESS, retried=True),
    Ending.INTERRUPTED: _error(Cause.HARNESS, retried=False),
    Ending.HARNESS_ERROR: _error(Cause.HARNESS, retried=False),
}
"""The one table of endings. Retries, grading, outcomes and the summary all read it."""


_PYTEST_TIMEOUT = re.compile(r"Timeout \(?>([\d.]+)s(\) from pytest-timeout\.)?$")
"""The text of the failure that pytest-timeout raises. Its class is that of every `pytest.fail`."""


class CaseFault(Exception):
    """An error that ends a case before there is anything to grade. Its text is the whole explanation.

    `details` are for the user and are not recorded, such as a traceback.
    """

    ending: ClassVar[Ending] = Ending.HARNESS_ERROR
    details: str = ""


class ConfError(CaseFault):
    """The configuration is wrong. The message names the file, the key and the valid choices."""


class CaseEnded(CaseFault):
    """The case ended in a way that leaves nothing to grade."""

    def __init__(self, ending: Ending, explanation: str) -> None:
        super().__init__(f"{ending}: {explanation}")
        self.ended_with = ending
        self.explanation = explanation


class Terminated(KeyboardInterrupt):
    """The session was told to stop, by something other than Ctrl-C. The text says by what.

    `at_once` is true if the agent has no time to end by itself.
    """

    __module__ = "builtins"  # pytest shows a class of any other module with the module's name

    def __init__(self, why: str, *, at_once: bool = False) -> None:
        super().__init__(why)
        self.at_once = at_once


def explain(error: BaseException) -> tuple[Ending, str, bool]:
    """Return the ending for an exception, its explanation, and whether the explanation is complete.

    If it is not, the user needs the traceback too.
    """
    match error:
        case CaseEnded():
            return error.ended_with, error.explanation, True
        case CaseFault():
            return error.ending, str(error), True
        case KeyboardInterrupt():
            return Ending.INTERRUPTED, str(error) or "interrupted by the user", True
        case _ if timeout := _PYTEST_TIMEOUT.match(str(error)):
            return Ending.INTERRUPTED, f"stopped by pytest-timeout after {timeout[1]} s", True
        case _:
            return Ending.HARNESS_ERROR, f"{type(error).__name__}: {error}{_place(error)}", False


def _place(error: BaseException) -> str:
    """Return the file and the line at which an exception was raised: " (envs.py:12)"."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
