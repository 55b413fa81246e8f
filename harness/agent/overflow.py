"""What follows when a conversation outgrows the model's context, or an answer its output limit (`on_overflow`)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.agent.attempt import AttemptResult
from harness.case import Limits
from harness.endings import Ending
from harness.results.record import Asked

COMPACTIONS = 2
"""How often a case has its conversation compacted."""

_SHORTENED = """\
Your conversation became longer than the model's context, so it was shortened. Your files are as you left them. Go on
with the task.
"""
_BRIEFLY = """\
Your last answer was longer than the model's output limit, and was cut. Go on with the task, and be brief: write long
files in several steps.
"""

FOLLOW_UPS = {Asked.SHORTENED: _SHORTENED, Asked.BRIEFLY: _BRIEFLY}
"""The prompts of attempts that go on after an overflow."""


def follow_up(results: Sequence[AttemptResult], limits: Limits, *, compacts_alone: bool) -> Asked | None:
    """Return what the next attempt is asked for, if it goes on after an overflow. Otherwise, return `None`.

    `results` are the attempts so far. `compacts_alone` says that the CLI compacts a conversation in a session of its
    own. Otherwise, it does so at the beginning of the session that goes on.
    """
    last, asked = results[-1], [result.asked for result in results]
    if last.asked is Asked.COMPACT and last.ending is Ending.FINISHED:
        return Asked.SHORTENED
    if limits.on_overflow == "compact" and last.ending is Ending.CONTEXT_OVERFLOW and last.asked is not Asked.COMPACT:
        compact = Asked.COMPACT if compacts_alone else Asked.SHORTENED
        return compact if asked.count(compact) < COMPACTIONS else None
    if limits.on_overflow == "continue" and last.ending is Ending.OUTPUT_TOKEN_LIMIT and Asked.BRIEFLY not in asked:
        return Asked.BRIEFLY
    return None


def checked(result: AttemptResult) -> AttemptResult:
    """Return the result of an attempt. A session that had to compact its conversation, and did not, has overflowed."""
    if result.asked is not Asked.COMPACT or result.ending is not Ending.FINISHED or result.session.compactions:
        return result
    said = result.session.final.text if result.session.final else result.explanation
    explanation = f"the CLI did not compact the conversation: {said}"[:300]
    return msgspec.structs.replace(result, ending=Ending.CONTEXT_OVERFLOW, explanation=explanation)
