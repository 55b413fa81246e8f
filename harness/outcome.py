"""How a case's exceptions become endings and pytest outcomes, by the table in `harness.case`."""

from __future__ import annotations

from harness.case import ConfError, Ending
from harness.sandbox.base import SandboxError
from harness.servers.base import ServerFault


class CaseEnded(Exception):
    """The case ended without anything to grade; the ending says what pytest shall make of it."""

    def __init__(self, ending: Ending, explanation: str) -> None:
        super().__init__(f"{ending}: {explanation}")
        self.ending = ending
        self.explanation = explanation


def explain(error: BaseException) -> tuple[Ending, str, bool]:
    """The ending for an exception, its explanation, and whether that says all (else a traceback is needed)."""
    match error:
        case CaseEnded():
            return error.ending, error.explanation, True
        case ConfError():
            return Ending.HARNESS_ERROR, str(error), True
        case ServerFault():
            return Ending.MODEL_UNREACHABLE, str(error), True
        case SandboxError():
            return Ending.SANDBOX_FAILED, str(error), True
        case _:
            return Ending.HARNESS_ERROR, f"{type(error).__name__}: {error}", False
