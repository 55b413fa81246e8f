"""The most that a model request can use: an upper bound, where `Account.worst_usage` is an estimate.

A token stands for at least one byte of the request. What a service adds of its own counts as `_HIDDEN` tokens, and each
picture or document in the request as `_ATTACHED`. An answer has at most as many tokens as the request allows, or as
the model's context has. `docs/configuration.md` says what else is assumed.
"""

from __future__ import annotations

import re
from typing import Final

from harness.gateway.messages import pseudo_count
from harness.gateway.prices import Pricing
from harness.gateway.provider import Call
from harness.gateway.purse import Spend

_HIDDEN: Final = 1024
"""The tokens of instructions that services add, such as those on the use of tools."""

_ATTACHED: Final = 8192
"""The tokens of a picture, which may be more than its bytes: a large one in a single colour."""

_ATTACHMENT: Final = re.compile(rb"base64|inline_?data|input_audio|file_data", re.IGNORECASE)


def worst_spend(call: Call, context: int, price: Pricing | None) -> Spend:
    """Return the most that a request can use."""
    prompt = len(call.body) + _HIDDEN + _ATTACHED * len(_ATTACHMENT.findall(call.body))
    longest = call.request.max_output
    return _spend(prompt, context if longest is None else longest, price)


def largest_spend(context: int, price: Pricing | None) -> Spend:
    """Return the most that a request can use that fits into the model's context."""
    return _spend(context, context, price)


def fits_the_context(call: Call, context: int) -> bool:
    """Return whether a request has about the size that a CLI's own requests have. An agent can send larger ones."""
    return pseudo_count(call.body) <= context and (call.request.max_output or 0) <= context


def _spend(prompt: int, answer: int, price: Pricing | None) -> Spend:
    """Return the spend of so many tokens, at the highest price of the prompt."""
    cost_usd = 0.0
    if price is not None:
        kinds = (
            {"input_tokens": prompt},
            {"cache_read_tokens": prompt},
            {"cache_write_tokens": prompt},
            {"cache_write_tokens": prompt, "cache_write_1h_tokens": prompt},
        )
        none = dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens"), 0)
        cost_usd = max(price.cost_usd(**{**none, **kind}, output_tokens=answer) for kind in kinds)
    return Spend.of(cost_usd, prompt + answer)
