"""What serves a case's model: the provider that the gateway asks, and what is known of the model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from msgspec import Struct

from harness.case import Case, ProviderConf
from harness.endings import ConfError
from harness.gateway.forward import Forwarder
from harness.gateway.provider import Provider
from harness.gateway.script import ScriptError, load_script, script_path
from harness.gateway.scripted import ScriptedProvider
from harness.models.addresses import require_address
from harness.servers.acquire import Lease
from harness.servers.base import ServerMissing


class ModelServer(Struct, frozen=True):
    """A model that is ready to be asked.

    `provider(workspace)` makes the gateway's provider for one session, given the workspace's path as its CLI sees it.
    `digest` identifies the weights (of a scripted model: the script), `sha256:` and hexadecimal; null where unknown.
    `warnings()` is what the server has said so far that makes a case's result doubtful.
    """

    name: str
    provider: Callable[[str], Provider]
    digest: str | None = None
    warnings: Callable[[], list[str]] = list


def scripted_server(case: Case, root: Path) -> ModelServer:
    """The scripted model of a case: plays the script that its model or else its environment names.

    `root` is the folder that holds `conf/`. Raises `ConfError` for a script that is missing or wrong.
    """
    try:
        path = script_path(case.model.script or case.environment.name, root / "conf" / "scripts")
        script = load_script(path)
    except ScriptError as error:
        raise ConfError(f"{case.id}: model.{case.model.name}.script: {error}") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # One provider, whatever the attempts: what it was told to fail twice has then failed twice in all.
    provider = cache(lambda workspace: ScriptedProvider(script, workspace=workspace))
    return ModelServer(case.model.name, provider, f"sha256:{digest}")


def remote_server(case: Case) -> ModelServer:
    """The service that serves a case's model.

    Raises `ServerMissing` where the host's variable holds no key, and `ConfError` for an address that is none.
    """
    conf = case.provider
    return ModelServer(case.model.name, forwarding(case, require_address(conf), _key(conf)))


def local_server(case: Case, lease: Lease) -> ModelServer:
    """The model of a case on the server of that lease; a server that crashed is started again, once, when it is asked.

    Raises `ServerMissing` where the provider needs a key that the host lacks; the provider raises `ServerFault`.
    """
    key, since = _key(case.provider), lease.log_size()

    def provider(workspace: str) -> Provider:
        lease.ensure_ready()
        return forwarding(case, lease.url, key)(workspace)

    return ModelServer(case.model.name, provider, lease.facts.digest, lambda: lease.warnings(since))


def forwarding(case: Case, base_url: str, key: str | None = None) -> Callable[[str], Provider]:
    """Makes providers that forward to `base_url` (the address before `/v1`), one a session; for `ModelServer`."""
    return lambda _workspace: Forwarder(base_url, key=key, key_header=case.provider.key_header)


def _key(conf: ProviderConf) -> str | None:
    if conf.key_variable is None:
        return None
    key = os.environ.get(conf.key_variable, "").strip()
    if not key:
        raise ServerMissing(f"no key for provider {conf.name}: set {conf.key_variable} to one")
    if not (key.isascii() and key.isprintable()):
        raise ServerMissing(f"the key in {conf.key_variable} is no key: it holds characters that none has")
    return key
