"""The cassettes of cases: `conf/cassettes/BACKEND-MODEL-ENVIRONMENT.jsonl`, recorded from any model server."""

from __future__ import annotations

import hashlib

import msgspec

from harness.case import Case
from harness.conf_path import ConfPath
from harness.endings import ConfError
from harness.gateway.cassette import CassetteError, Head, Recorder, Tape, load_cassette
from harness.gateway.cassette_player import CassettePlayer
from harness.models.model_server import ModelServer


def cassette_server(case: Case, conf: ConfPath) -> ModelServer:
    """Return a server that plays a model's recorded answers to the case's backend in its environment.

    The `script` of the case's model names the recorded model. The default is the model of the same name. Raise
    `ConfError` for a cassette that is missing, broken, or of another wire.
    """
    file = _file(case, case.model.script or case.model.name)
    path = conf.find(file) or conf.own / file
    try:
        cassette = load_cassette(path)
    except CassetteError as error:
        raise ConfError(f"{case.id}: model.{case.model.name}: {error}") from error
    if cassette.head.wire != case.wire:
        raise ConfError(
            f"{case.id}: {path} was recorded over {cassette.head.wire}, but the case uses {case.wire}: "
            f"put {cassette.head.wire} first in the wires of conf/provider/{case.provider.name}.yaml, or record again"
        )
    # All attempts share it, so that each recorded answer is played once.
    player = CassettePlayer(cassette)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelServer(
        case.model.name,
        lambda: player,
        f"sha256:{digest}",
        recorded_in=cassette.head.workspace or None,
        played_from=cassette.head.source,
        stand_in=cassette.head.stand_in,
        fault=lambda: player.misfit,
    )


def recorded(server: ModelServer, case: Case, conf: ConfPath) -> ModelServer:
    """Return a server that also records its answers to the first replicate of a case on a new cassette.

    The cassette is in the project's own `conf/`.
    """
    if case.replicate > 1:
        return server
    # The attempts of a case share a cassette.
    head = Head(stand_in=server.stand_in, model=case.model.asked_as, digest=server.digest, wire=case.wire)
    tape = Tape(conf.own / _file(case, case.model.name), head)
    return msgspec.structs.replace(server, provider=lambda: Recorder(server.provider(), tape))


def _file(case: Case, model: str) -> str:
    return f"cassettes/{case.backend.name}-{model}-{case.environment.name}.jsonl"
