"""Tells whether two reports of one id are of one response."""

from __future__ import annotations

from backends.events import TurnFinished


def same_response(earlier: TurnFinished, later: TurnFinished) -> bool:
    """Return whether a response goes on although a tool has answered since its earlier report.

    A CLI that shows a response block by block may run the tool of a block before the next one arrives. Its blocks have
    the same prompt, and so count the same tokens of it. The prompt of a later response is longer. They count 0 if the
    server tells the tokens of a prompt only at the end of a response. Then the id decides.
    """
    if earlier.turn != later.turn or earlier.usage.prompt_tokens != later.usage.prompt_tokens:
        return False
    named = bool(later.turn) and later.usage.input_tokens is not None
    return named or later.usage.prompt_tokens > 0
