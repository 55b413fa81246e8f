"""A model that is ready to be asked."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from harness.endings import ConfError
from harness.gateway.provider import Provider


class ModelServer(Struct, frozen=True):
    """What serves a case's model.

    `provider()` returns the gateway's provider for one session; it raises `ServerFault` if a server crashed and cannot
    be started again. `digest` identifies the weights (of a scripted model: the script), `sha256:` and hexadecimal; None
    if unknown. `warnings()` returns what the server has said so far that makes a case's result doubtful. `recorded_in`
    is the workspace whose paths recorded answers hold; None if the answers fit any workspace.
    """

    name: str
    provider: Callable[[], Provider]
    digest: str | None = None
    warnings: Callable[[], list[str]] = list
    recorded_in: str | None = None

    def require_workspace(self, workspace: str) -> None:
        """Raise `ConfError` if the answers do not fit a session whose CLI works in this folder."""
        if self.recorded_in not in {None, workspace}:
            raise ConfError(
                f"the cassette of model {self.name} was recorded in the workspace {self.recorded_in}, and this sandbox "
                f"has {workspace}: choose the sandbox it was recorded in, or record it again"
            )
