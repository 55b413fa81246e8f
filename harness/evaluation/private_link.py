"""The private environment of a policy's primitives, as the process of another environment sees it.

This file needs only the standard library and NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.environments import plain
from harness.environments.base import Plain
from harness.environments.channel import Channel

CALL = "harness.environments.primitives:call_primitive"
"""The function that answers there."""


class PrivateLink:
    """A private environment at the other end of a descriptor. Without a descriptor, nothing can be asked."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._channel = Channel(descriptors[0], descriptors[0], plain.MAX_BYTES) if descriptors else None

    def answer(self, name: str, arguments: Sequence[Plain], deadline: float) -> dict[str, Plain]:
        """Return `{"done": …}` or `{"error": TEXT}`: what a primitive returns, or why it cannot.

        Raise `TimeoutError` at the deadline. After that, nothing more can be asked.
        """
        if self._channel is None:
            return {"error": f"there is no primitive {name!r:.80}"}
        request = {"do": "run", "with": [CALL, {"name": name, "arguments": list(arguments)}]}
        try:
            self._channel.send(plain.dumps(request), deadline)
            answer: Any = plain.loads(self._channel.receive(deadline))
        except ConnectionError:
            return {"error": f"{name}: the environment's process has ended"}
        done = answer.get("done") if isinstance(answer, dict) else None
        return done if isinstance(done, dict) else {"error": f"{name} failed"}
