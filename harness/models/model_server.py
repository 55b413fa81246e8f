"""A model that is ready to answer."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from harness.endings import CaseFault, ConfError
from harness.gateway.provider import Provider


class ModelServer(Struct, frozen=True):
    """The server of a case's model.

    `provider()` returns the gateway's provider for one session. It raises `ServerFault` if a server crashed and cannot
    be started again. `digest` identifies the weights, or the script of a scripted model: `sha256:` and hexadecimal, or
    None if unknown. `warnings()` returns the server's messages so far that make a case's result doubtful. `recorded_in`
    is the workspace in the paths of recorded answers, or None if the answers fit any workspace. `played_from` says
    whose recorded answers are played. `stand_in` is true if a script gives the answers, or gave them when they were
    recorded. `fault()` returns what kept the server from answering a request, if no other attempt can succeed; the case
    then ends with it. `version` is that
    of the server, and says so if Proctor did not start it. `context` are the tokens that it has given to the model, and
    `gpu_driver` is the version of the driver of its GPUs. Each is None if unknown, as for a service elsewhere.
    """

    name: str
    provider: Callable[[], Provider]
    digest: str | None = None
    warnings: Callable[[], list[str]] = list
    recorded_in: str | None = None
    played_from: str | None = None
    stand_in: bool = False
    fault: Callable[[], CaseFault | None] = lambda: None
    version: str | None = None
    context: int | None = None
    gpu_driver: str | None = None

    def require_workspace(self, workspace: str) -> None:
        """Raise `ConfError` if the answers do not fit a session whose CLI works in this folder."""
        if self.recorded_in not in {None, workspace}:
            raise ConfError(
                f"the cassette of model {self.name} was recorded in the workspace {self.recorded_in}, and this sandbox "
                f"has {workspace}: choose the sandbox of the recording, or record it again"
            )
