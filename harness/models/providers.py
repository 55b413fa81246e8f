"""The one table of provider kinds: how each checks the configuration of a model, and how it serves the model.

Reading the table is cheap, because the code that serves a model is imported when the first case needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from harness.case import LOCAL_KINDS, Case, ModelConf, ProviderConf, ProviderKind, ServerNeed
from harness.conf_path import ConfPath
from harness.lazy import LazyModule
from harness.models.checks import check_local, check_played, check_remote

if TYPE_CHECKING:
    from harness.models import cassettes, forwarding, scripted, translating
    from harness.models.model_server import ModelServer
    from harness.servers.pool import ServerPool
else:  # collecting tests does not need these
    cassettes = LazyModule("harness.models.cassettes")
    forwarding = LazyModule("harness.models.forwarding")
    scripted = LazyModule("harness.models.scripted")
    translating = LazyModule("harness.models.translating")


class Sources(Struct, frozen=True):
    """Where models come from: the files of `conf`, and the servers in `pool` on this machine."""

    conf: ConfPath
    pool: ServerPool


class ProviderFactory(Struct, frozen=True):
    """The functions of one kind of provider.

    `check(model, provider)` raises `ConfError` for settings that make no sense for this kind. `serve(case, sources)`
    returns the server of the case's model. It raises `ServerMissing` if this machine lacks something that the server
    needs, `ServerFault` if the server fails, and `ConfError` for a script or cassette that is missing or wrong.
    """

    check: Callable[[ModelConf, ProviderConf], None]
    serve: Callable[[Case, Sources], ModelServer]


def _serve_local(case: Case, sources: Sources) -> ModelServer:
    need = cast(ServerNeed, case.server)  # each case whose provider is of a local kind has one
    return forwarding.local_server(case, sources.pool.lease(need, case.model, case.provider))


PROVIDERS: Final[Mapping[ProviderKind, ProviderFactory]] = {
    "scripted": ProviderFactory(check_played, lambda case, sources: scripted.scripted_server(case, sources.conf)),
    "cassette": ProviderFactory(check_played, lambda case, sources: cassettes.cassette_server(case, sources.conf)),
    "remote": ProviderFactory(check_remote, lambda case, _: forwarding.reached_server(case)),
    **dict.fromkeys(LOCAL_KINDS, ProviderFactory(check_local, _serve_local)),
}


def model_server(case: Case, sources: Sources) -> ModelServer:
    """Return the server of the case's model. It raises the same errors as `ProviderFactory.serve`."""
    server = PROVIDERS[case.provider.kind].serve(case, sources)
    return translating.translated(server, case, case.translated) if case.translated else server
