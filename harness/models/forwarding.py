"""Models to which the gateway forwards requests. A service or a model server on this machine serves them."""

from __future__ import annotations

from harness.case import Case, ProviderConf
from harness.gateway.credential import Credential, CredentialMissing
from harness.gateway.doors import Door, VariableMissing, door_of
from harness.gateway.forward import Forwarder
from harness.gateway.provider import Provider
from harness.gateway.reach import unreachable, why_unreachable
from harness.gateway.signing import credential_of
from harness.models.checks import check_address
from harness.models.model_server import ModelServer
from harness.servers.acquire import Lease
from harness.servers.base import ServerFault, ServerMissing


def remote_server(case: Case) -> ModelServer:
    """Return the service that serves the case's model.

    Raise `ServerMissing` if the host lacks a key, a library or a variable for it, and `ConfError` for a wrong address.
    """
    check_address(case.provider)
    door, credential = _door(case.provider), _credential(case.provider)
    return ModelServer(case.model.name, lambda: Forwarder(door, credential))


def reached_server(case: Case) -> ModelServer:
    """Return the service that serves the case's model, once a connection to it could be made.

    The errors are those of `remote_server`, and `ServerFault` for a service that cannot be reached.
    """
    server = remote_server(case)
    url = _door(case.provider).base_url
    if why := why_unreachable(url):
        raise ServerFault(f"{unreachable(url, why)}; provider.{case.provider.name}.base_url sets the address")
    return server


def local_server(case: Case, lease: Lease) -> ModelServer:
    """Return the case's model on the server of that lease. A server that crashes is started again once.

    Raise `ServerMissing` if the provider needs a key that the host lacks.
    """
    credential, since = _credential(case.provider), lease.log_size()

    def provider() -> Provider:
        lease.ensure_ready()
        return Forwarder(lease.url, credential)

    facts = lease.facts
    started = "" if lease.folder else " (not started by Proctor)"
    return ModelServer(
        case.model.name,
        provider,
        facts.digest,
        lambda: lease.warnings(since),
        version=f"{facts.version}{started}" if facts.version else None,
        context=facts.context,
        gpu_driver=lease.gpu_driver(),
    )


def _credential(provider: ProviderConf) -> Credential:
    try:
        return credential_of(provider)
    except CredentialMissing as error:
        raise ServerMissing(str(error)) from error


def _door(provider: ProviderConf) -> Door:
    try:
        return door_of(provider)
    except VariableMissing as error:
        raise ServerMissing(str(error)) from error
