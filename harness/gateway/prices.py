"""What an answer costs, by the model's own price or else by the price list in the package `genai-prices`.

The list is the one in the installed version. Nothing is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from harness.case import ModelConf, ProviderConf
from harness.lazy import LazyModule

if TYPE_CHECKING:
    import genai_prices
else:  # takes half a second to load, and only the models of a provider with prices need it
    genai_prices = LazyModule("genai_prices")


class Pricing(Protocol):
    """The price of a model."""

    def cost_usd(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int,
        cache_write_tokens: int,
        cache_write_1h_tokens: int = 0,
    ) -> float:
        """Return the US dollars that one answer costs.

        No token is counted twice, but `cache_write_1h_tokens` are a part of `cache_write_tokens`.
        """


class ListedPrice:
    """The price of `provider`'s model `name` in the list. Raise `LookupError` if the list does not have it."""

    def __init__(self, provider: str, name: str) -> None:
        self._provider = provider
        self._name = name
        self.cost_usd(input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0)

    def cost_usd(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int,
        cache_write_tokens: int,
        cache_write_1h_tokens: int = 0,
    ) -> float:
        """See `Pricing`. The list counts cached tokens as part of the input. Long prompts may cost more."""
        usage = genai_prices.Usage(
            input_tokens=input_tokens + cache_read_tokens + cache_write_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cache_read_tokens,
            cache_write_tokens=cache_write_tokens,
            **({"cache_write_1h_tokens": cache_write_1h_tokens} if cache_write_1h_tokens else {}),
        )
        return float(genai_prices.calc_price(usage, self._name, provider_id=self._provider).total_price)


def subscribed(provider: ProviderConf) -> bool:
    """Return whether a subscription pays for a provider's answers, so that none of them has a cost."""
    return provider.signing is not None and provider.signing.subscription is not None


def pricing(model: ModelConf, provider: ProviderConf) -> Pricing | None:
    """Return what the model's answers cost, or None if that is not known. A subscription bills no answer."""
    if model.price == "unknown" or subscribed(provider):
        return None
    if model.price is not None or provider.prices is None:
        return model.price
    try:
        return ListedPrice(provider.prices, model.asked_as)
    except LookupError:
        return None
