"""Checks, before anything runs, that a model's settings make sense for its kind of provider."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from harness.cache import NoHomeError, user_cache
from harness.case import LOCAL_KINDS, Case, ModelConf, ProviderConf
from harness.endings import ConfError
from harness.gateway.prices import pricing, subscribed
from harness.servers.kinds import kind_of

_LOOPBACK = ("http://127.0.0.1:", "http://localhost:")

_OF_SERVERS = ("gpus", "gpu_memory_gb", "server")
"""The keys of a model that only a server on this machine uses."""


def check_played(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for settings that have no effect because no server on this machine serves the model."""
    if provider.options:
        raise ConfError(
            f"conf/provider/{provider.name}.yaml: provider.{provider.name}.options: only these kinds have options: "
            f"{', '.join(LOCAL_KINDS)}"
        )
    for key in _OF_SERVERS:
        if getattr(model, key):
            raise ConfError(
                f"conf/model/{model.name}.yaml: model.{model.name}.{key}: only a model that this machine serves can "
                f"have it (provider kinds: {', '.join(LOCAL_KINDS)})"
            )


def check_remote(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for a wrong address, and for settings that have no effect for a service."""
    check_address(provider)
    check_played(model, provider)
    _check_signing(provider)
    for wire, path in provider.paths.items():
        if not path.startswith("/"):
            raise ConfError(
                f"conf/provider/{provider.name}.yaml: provider.{provider.name}.paths.{wire}: {path} must begin with /"
            )


def _check_signing(provider: ProviderConf) -> None:
    signing = provider.signing
    if signing is None:
        return
    where = f"conf/provider/{provider.name}.yaml: provider.{provider.name}.signing"
    if signing.kind == "aws" and (signing.service is None or signing.region is None):
        raise ConfError(f"{where}: kind aws needs a service and a region (service: bedrock, region: us-east-1)")
    if signing.subscription is not None and not (signing.token_url or "").startswith(("https://", *_LOOPBACK)):
        raise ConfError(f"{where}.token_url: a subscription needs the https address at which its token is renewed")


def check_local(model: ModelConf, provider: ProviderConf) -> None:
    """Raise `ConfError` for a wrong address of a server that already runs, and for wrong options."""
    if provider.base_url is not None:
        check_address(provider)
    kind_of(provider).start_s(model, provider)


def check_prices(cases: Iterable[Case]) -> None:
    """Raise `ConfError` if the cost is limited and a model of these cases has no price: such a limit cannot hold."""
    for case in {case.model.name: case for case in cases if case.limits.cost_usd is not None}.values():
        model, provider = case.model, case.provider
        if model.price == "unknown" or pricing(model, provider) is not None:
            continue
        _refuse_subscription(case, "limits.cost_usd")
        why = (
            f"prices of provider {provider.name} do not list it" if provider.prices else "its provider lists no prices"
        )
        raise ConfError(
            f"conf/model/{model.name}.yaml: limits.cost_usd={case.limits.cost_usd:g} cannot hold for model "
            f"{model.name}, because it has no price ({why}): give the model a `price` (price: {{input: 3, "
            "output: 15}, US dollars per million tokens), limit tokens instead (limits.tokens), or write "
            "`price: unknown` to run it without a limit in dollars"
        )


def check_budgets(cases: Iterable[Case]) -> None:
    """Raise `ConfError` for a shared budget or pace that cannot hold: it lacks a limit, a price or a place."""
    for case in {case.model.name: case for case in cases if case.has_agent}.values():
        provider = case.provider
        if provider.pace is not None:
            _check_place(f"conf/provider/{provider.name}.yaml: provider.{provider.name}.pace")
        daily = f"conf/provider/{provider.name}.yaml: provider.{provider.name}.daily_budget"
        for where, budget in (("suite.budget", case.budget), (daily, provider.daily_budget)):
            if budget is None:
                continue
            if budget.empty:
                raise ConfError(f"{where} has no limit: give it cost_usd, tokens or requests, or leave it out")
            _check_place(where)
            price = pricing(case.model, provider)
            if budget.cost_usd is not None and price is None and not case.scripted:
                _refuse_subscription(case, f"{where}.cost_usd")
                raise ConfError(
                    f"{where}.cost_usd={budget.cost_usd:g} cannot hold for model {case.model.name}, because it has no "
                    f"price: give it one in conf/model/{case.model.name}.yaml (price: {{input: 3, output: 15}}, US "
                    "dollars per million tokens; 0 for a model on this machine), or give the budget in tokens"
                )


def _refuse_subscription(case: Case, limit: str) -> None:
    if subscribed(case.provider):
        raise ConfError(
            f"{limit} cannot hold for model {case.model.name}: provider {case.provider.name} is paid by a "
            "subscription, which bills no request: limit turns or tokens instead"
        )


def _check_place(where: str) -> None:
    try:
        user_cache()
    except NoHomeError as error:
        raise ConfError(f"{where} is kept in the user's cache, and {error}") from error


def check_address(provider: ProviderConf) -> None:
    """Raise `ConfError` if the provider's `base_url` is not an address without `/v1`. A secret in it is not shown."""
    where = f"conf/provider/{provider.name}.yaml: provider.{provider.name}.base_url"
    if "@" in unquote(provider.base_url or ""):
        raise ConfError(
            f"{where} must be only an address, without a user name or a password: put the key in an environment "
            f"variable, and name it in provider.{provider.name}.key_variable"
        )
    address = urlsplit(provider.base_url or "")
    if address.query or address.fragment:
        raise ConfError(f"{where} must be only an address, without a query or a fragment")
    if address.scheme not in {"http", "https"} or not address.hostname:
        fault = "is not an address such as https://llm.example.org" if provider.base_url else "is missing"
    elif address.path.rstrip("/").endswith(("/v1", "/v1beta")):
        fault = "must not end with a version such as /v1: leave it out"
    else:
        return
    raise ConfError(f"{where}: {provider.base_url or 'it'} {fault}")
