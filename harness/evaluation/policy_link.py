"""Speaks to a submission's policy over a channel, from the harness or from the process of an environment.

This file needs only the standard library and NumPy. `policy_worker.py` is at the other end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.environments import plain
from harness.environments.base import InvalidAction, Plain, Step
from harness.environments.channel import Channel
from harness.evaluation.text import printable

LONGEST_ANSWER = 1_100_000
MOST_QUESTIONS = 100_000
"""How many primitives a policy may ask of the environment for one request."""

Answerer = Callable[[str, Sequence[Plain], float], dict[str, Plain]]
"""Answers what a policy asks of its environment: the name of a primitive, its arguments, and the deadline."""


class PolicyError(Exception):
    """The submission failed. The message is its traceback, or says how its process ended. It is safe to print."""


class PolicyBroken(PolicyError):
    """The policy's process sends nonsense, or is gone. It must be killed."""


class PolicyGone(PolicyBroken):
    """The policy's process has ended, or has closed its connection."""


class PolicyTimeout(PolicyError):
    """The submission did not answer in time. Its process must be killed."""


class PolicyLink:
    """A policy at the other end of a channel. It serves one episode after the other.

    While the policy works on a request, it may ask `primitives`.
    """

    def __init__(self, channel: Channel, primitives: Answerer | None = None) -> None:
        self._channel = channel
        self._primitives = primitives
        self._updated = False

    def open(self, spaces: dict[str, Plain], timeout_s: float) -> None:
        """Send the spaces. No code of the submission runs yet."""
        self.ask({"do": "open", "spaces": spaces}, timeout_s)

    def load(self, program: dict[str, Plain], timeout_s: float) -> None:
        """Import the submission and make its program. See the request "load" of `policy_worker.py`."""
        self.ask({"do": "load", **program}, timeout_s)

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float) -> None:
        """Begin an episode, with the policy as it was after `load`, or as it is if it carries over what it learns."""
        answer = self.ask({"do": "reset", "observation": observation, "info": info}, timeout_s)
        self._updated = answer.get("done") is True

    def act(self, observation: Plain, timeout_s: float) -> Plain:
        """Return the policy's action, which is not checked yet. Raise `InvalidAction` if it is not plain data."""
        answer = self.ask({"do": "act", "observation": observation}, timeout_s)
        if "invalid" in answer:
            raise InvalidAction(printable(str(answer["invalid"])))
        return answer.get("done")

    def update(self, step: Step, timeout_s: float) -> None:
        """Tell the outcome of the last action. This costs nothing if the program does not want to be told."""
        if self._updated:
            info = {name: value for name, value in step.info.items() if plain.is_plain(value)}
            told = {"observation": step.observation, "reward": float(step.reward), "info": info}
            self.ask({"do": "update", **told, "done": bool(step.terminated or step.truncated)}, timeout_s)

    def end(self, timeout_s: float) -> bool:
        """End the episode. Return whether the policy can play another."""
        return self.ask({"do": "end"}, timeout_s).get("done") != "last"

    def ask(self, request: dict[str, Plain], timeout_s: float) -> dict[str, Any]:
        """Return the answer to a request. Raise `PolicyError` if the submission raised, or one of its subclasses."""
        message = plain.dumps(request)
        deadline = time.monotonic() + timeout_s
        try:
            self._channel.send(message, deadline)
            answer = self._received(deadline)
        except TimeoutError:
            raise PolicyTimeout(f"no answer to {request['do']!r} within {timeout_s:.3g} s") from None
        except OSError:
            raise PolicyGone("the policy's process closed its connection") from None
        except ValueError as error:
            raise PolicyBroken(f"the policy's process sent an invalid answer: {printable(str(error))}") from None
        if "error" in answer:
            raise PolicyError(printable(str(answer["error"])).strip())
        return answer

    def _received(self, deadline: float) -> dict[str, Any]:
        """Return the answer to a request, and answer the policy's own questions until it comes."""
        for _ in range(MOST_QUESTIONS):
            answer = plain.loads(self._channel.receive(deadline), LONGEST_ANSWER)
            match answer:
                case {"primitive": str(name), "with": list(arguments)} if self._primitives is not None:
                    self._channel.send(plain.dumps(self._primitives(name, arguments, deadline)), deadline)
                case dict() if "primitive" not in answer:
                    return answer
                case _:
                    raise ValueError("not a dict")
        raise ValueError(f"it has called primitives more than {MOST_QUESTIONS} times for one action")
