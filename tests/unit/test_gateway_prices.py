"""The cost of answers: by the model's own price, else by the price list, else unknown."""

from typing import Any

import msgspec
import pytest

from harness.case import ModelConf, Price, ProviderConf
from harness.gateway.prices import Pricing, pricing

USAGE = {"input_tokens": 10**5, "output_tokens": 10**5, "cache_read_tokens": 10**5, "cache_write_tokens": 10**5}
NONE = dict.fromkeys(USAGE, 0)


def priced(name: str, prices: str | None = "anthropic", **conf: Any) -> Pricing | None:
    provider = ProviderConf("p", "remote", wires=[], base_url="https://example.test", prices=prices)
    return pricing(ModelConf(name, "p", **conf), provider)


@pytest.mark.parametrize(
    ("name", "prices", "per_million"),
    [
        # Anthropic's prices of Claude Haiku 4.5 and Google's prices of Gemini 2.5 Flash, which will not change again
        ("claude-haiku-4-5", "anthropic", (1.0, 5.0, 0.1, 1.25)),
        ("gemini-2.5-flash", "google", (0.3, 2.5, 0.03, 0.3)),
    ],
)
def test_each_kind_of_token_has_its_price(name: str, prices: str, per_million: tuple[float, ...]) -> None:
    found = priced(name, prices)
    assert found is not None
    for kind, dollars in zip(USAGE, per_million, strict=True):
        assert found.cost_usd(**NONE | {kind: 10**5}) == pytest.approx(dollars / 10)
    assert found.cost_usd(**USAGE) == pytest.approx(sum(per_million) / 10)


def test_the_models_own_price_overrides_the_price_list() -> None:
    own = Price(1000, 1000)
    assert priced("claude-haiku-4-5", price=own) is own


def test_a_model_is_looked_up_by_its_served_name() -> None:
    assert priced("mine", served_as="claude-haiku-4-5") is not None


@pytest.mark.parametrize(("name", "prices"), [("nonesuch", "anthropic"), ("gpt-5", None), ("gpt-5", "nonesuch")])
def test_an_unknown_model_has_an_unknown_cost(name: str, prices: str | None) -> None:
    assert priced(name, prices) is None


def test_a_price_is_made_from_plain_data() -> None:
    model = msgspec.convert({"name": "m", "provider": "p", "price": {"input": 1, "output": 2}}, ModelConf)
    found = pricing(model, ProviderConf("p", "scripted", wires=[]))
    assert found is not None
    assert found.cost_usd(**NONE | {"output_tokens": 500_000}) == 1.0
