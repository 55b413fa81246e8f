"""The private environment of which a policy's primitives are asked, as the harness sees it. Nobody plays it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from harness.environments.base import Plain
from harness.environments.hosted import HostedEnvironment, HostedProcess
from harness.environments.hosts import EnvironmentFailed
from harness.evaluation.private_link import CALL


class PrivateWorld:
    """The private environment of one policy, in a process of its own. It starts when it is first asked.

    `granted` are the primitives that the policy is given.
    """

    def __init__(self, environment: HostedEnvironment) -> None:
        self.granted = environment.granted
        self._environment = environment
        self._process: HostedProcess | None = None

    def answer(self, name: str, arguments: Sequence[Plain], deadline: float) -> dict[str, Plain]:
        """Return `{"done": …}` or `{"error": TEXT}`: what a primitive returns, or why it cannot.

        What the environment makes of its arguments is the caller's own fault, also if its process ends.
        """
        if name not in self.granted.asked:
            return {"error": f"there is no primitive {name!r:.80}"}
        try:
            limit = min(deadline - time.monotonic(), self._environment.call_s)
            answer: dict[str, Plain] = self._running().ask(
                "run", CALL, {"name": name, "arguments": list(arguments)}, limit=limit, doing=name
            )
        except EnvironmentFailed as error:
            return {"error": error.brief}
        return answer

    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptor of a connection to the environment, or none if no primitive is asked of it.

        As long as another process uses it, nothing here may use the environment.
        """
        return (self._running().descriptor(),) if self.granted.asked else ()

    def died(self) -> bool:
        """Return whether the environment's process has ended by itself."""
        return self._process is not None and self._process.died() is not None

    def close(self) -> None:
        """End the process. May be called again. A later question starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _running(self) -> HostedProcess:
        if self._process is None or not self._process.alive:
            self.close()
            self._process = self._environment.another()
        return self._process
