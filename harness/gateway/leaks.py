"""Finds tool calls that a model server passes on as text, because it could not parse them or was not told to.

A CLI takes such an answer for the model's last words and ends. The gateway therefore counts these answers, and the
record warns of them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from harness.gateway.messages import AnswerOutcome

MARKS: Final = (
    "<tool_call>",  # Qwen and Hermes (chat templates of NousResearch/Hermes-3, Qwen/Qwen3)
    "<function=",  # Qwen3-Coder, and Llama 3's custom calls
    "<function_calls>",  # Claude's own syntax, which other models imitate
    "<minimax:tool_call>",  # MiniMax M2
    "<|tool_call",  # Granite (`<|tool_call|>`), Kimi K2 (`<|tool_calls_section_begin|>`), Phi-4
    "<|python_tag|>",  # Llama 3.1
    "<|channel|>commentary to=",  # gpt-oss (the harmony format)
    "[TOOL_CALLS]",  # Mistral
    "<\uff5ctool\u2581call",  # DeepSeek, with its full-width bars
)
"""How tool calls begin in the models' own syntax."""

_LONGEST: Final = max(map(len, MARKS))
_PLAIN_STOPS: Final = {"stop", "end_turn", "completed", "STOP"}
"""The stop reasons, of all wires, of an answer that calls no tool and was not cut."""


def listen(outcome: AnswerOutcome, text: str) -> AnswerOutcome:
    """Return what is known after one more piece of the answer's text. A mark may be split between pieces."""
    if not text or outcome.marked:
        return outcome
    said = outcome.said + text
    marked = any(mark in said for mark in MARKS)
    return msgspec.structs.replace(outcome, said="" if marked else said[-_LONGEST:], marked=marked)


def leaks(outcome: AnswerOutcome) -> bool:
    """Return whether a whole answer holds a tool call as text, and calls no tool."""
    return outcome.complete and outcome.marked and not outcome.tools_called and outcome.stop_reason in _PLAIN_STOPS
