"""Weighs what a CLI says about its end against what the harness knows. An agent can forge what happens in its box.

An agent can kill its CLI, change its files, and print what it likes. It cannot change the gateway's ledger. So only the
ledger can blame the model, and once the agent has used a tool, a failure of the CLI unmakes no grade.
"""

from __future__ import annotations

import errno

from msgspec import Struct

from harness.agent.ending import one_line
from harness.agent.watchdog import Stop, failed
from harness.endings import ENDINGS, Cause, Ending
from harness.gateway.account import Account
from harness.gateway.ledger import Metered, RequestFailure

_WITHOUT_A_REQUEST = {Ending.MODEL_UNREACHABLE, Ending.AUTH_FAILED}
"""What a CLI can know about its model before its first request."""

_WRONG_REQUEST = {400, 405, 406, 409, 411, 413, 414, 415, 422, 431}
"""The statuses by which a service says that the request is at fault. An agent can send a wrong request by itself."""

_SIGNALLED = 128
"""The exit code of a program that handles a signal, less the signal's number."""

_OF_THE_BOX = {Ending.CLI_CRASHED, Ending.SILENT_EXIT}
"""Failures that an agent can cause in its own session."""

_OF_THE_FOLDERS = {Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED}
"""Failures that an agent can cause in the next session, by what it leaves in workspace and home."""

_OF_THE_HOST = {errno.EIO, errno.EROFS, errno.ESTALE}
"""Errors that no agent can cause: the host's disk fails. If the disk stays full, the case ends with an error anyway."""


class LedgerEvidence(Struct, frozen=True, kw_only=True):
    """What the harness knows about a session, whatever its CLI says.

    `acted`: the model has called a tool, in this session or in an earlier one whose files are still there. `requests`
    counts the model requests. `failure` is the latest failed turn, and `None` if a whole turn has followed it.
    `side_failure` is the latest failure of a request without tools. `killed`: a signal that the harness did not send
    has ended the CLI. `in_a_command`: the CLI waits for shell commands of its agent, and for nothing else.
    """

    acted: bool = False
    requests: int = 0
    failure: RequestFailure | None = None
    side_failure: RequestFailure | None = None
    killed: bool = False
    in_a_command: bool = False


def evidence(account: Account, *, acted: bool, killed: bool = False, in_a_command: bool = False) -> LedgerEvidence:
    """Return the evidence of a session. `acted`: the agent acted in an earlier session whose files are still there."""
    metered = account.metered()
    return LedgerEvidence(
        acted=acted or has_acted(metered),
        requests=metered.requests,
        failure=account.last_failure if account.failures else None,
        side_failure=account.side_failure,
        killed=killed,
        in_a_command=in_a_command,
    )


def has_acted(metered: Metered) -> bool:
    """Return whether an agent may have run something in its box: whether its model has called any tool."""
    return bool(metered.tools_used or metered.leaked_calls)


def ended_by_signal(exit_code: int | None) -> bool:
    """Return whether a signal has ended a CLI. One that handles the signal exits with a code above 128."""
    return exit_code is not None and (exit_code < 0 or exit_code > _SIGNALLED)


def weighed(told: Stop, known: LedgerEvidence) -> Stop:
    """Return the ending that the evidence allows. `told` is the one that the CLI's output, exit code and stderr tell.

    A failure of the model counts only if the ledger shows it. Otherwise, the CLI has failed. If the ledger shows
    another failure than the CLI tells, the ledger decides once the agent has acted.
    """
    policy = ENDINGS[told.ending]
    if policy.graded:
        return told
    blames_the_model = policy.cause is Cause.MODEL
    if known.acted and known.killed and told.ending in _OF_THE_BOX:
        return told  # a CLI that gives up after a failure of the model is not killed
    if known.failure is None:
        return _unseen(told) if blames_the_model and not _credible(told.ending, known) else proven(told, known)
    shown = failed(known.failure, "the CLI gave up after a failed model request")
    differs = told.ending is not shown.ending and (blames_the_model or told.ending in _OF_THE_BOX)
    if told.ending is Ending.MODEL_ERROR or known.failure.unreachable or (known.acted and differs):
        told = shown
    return proven(told, known)


def proven(stop: Stop, known: LedgerEvidence) -> Stop:
    """Return the ending of a failed model request, unless the agent has sent that request by itself.

    It has if its CLI waits for a shell command meanwhile, and so asks nothing. It may have if the request is wrong.
    """
    if known.acted and known.in_a_command and ENDINGS[stop.ending].cause is Cause.MODEL:
        said = f"the CLI was waiting for a shell command, which has sent the failed requests: {stop.explanation}"
        return Stop(Ending.CLI_CRASHED, one_line(said))
    wrong = known.failure is not None and known.failure.status in _WRONG_REQUEST
    if stop.ending is not Ending.MODEL_ERROR or not wrong or not known.acted:
        return stop
    said = f"the model's service refused a request as wrong, which an agent can send too: {stop.explanation}"
    return Stop(Ending.CLI_CRASHED, one_line(said))


def of_the_agent(error: BaseException | None, *, acted: bool) -> bool:
    """Return whether an error of the system may come from what the agent left or does in its box."""
    return acted and isinstance(error, OSError) and error.errno not in _OF_THE_HOST


def last_word(stop: Stop, *, acted: bool, acted_before: bool) -> Stop:
    """Return the ending of a case's last session: `cli_broken` if the agent may have caused the failure that it tells.

    `acted`: the agent has acted. `acted_before`: it has acted in an earlier session whose files are still there.
    """
    broken = stop.ending in _OF_THE_BOX and acted
    if not broken and not (stop.ending in _OF_THE_FOLDERS and acted_before):
        return stop
    said = f"the agent had used its tools before the session ended with {stop.ending}: {stop.explanation}"
    return Stop(Ending.CLI_BROKEN, one_line(said))


def broken(error: BaseException) -> Stop:
    """Return the ending of a session in which the agent's files or processes caused an error of the system."""
    return Stop(Ending.CLI_BROKEN, one_line(f"what the agent left keeps its session from going on: {error}"))


def _credible(ending: Ending, known: LedgerEvidence) -> bool:
    """Return whether a failure of the model that no turn shows may be true."""
    side = known.side_failure
    by_the_agent = known.acted and side is not None and side.status in _WRONG_REQUEST
    if side is not None and not by_the_agent and failed(side, "").ending is ending:
        return True
    return ending in _WITHOUT_A_REQUEST and not known.requests and not known.acted


def _unseen(told: Stop) -> Stop:
    said = f"the CLI tells of {told.ending}, but no model request failed: {told.explanation}"
    return Stop(Ending.CLI_CRASHED, one_line(said))
