"""Runs a submission's policy in a sandbox of its own. Observations go in and actions come out, both as plain data."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.environments import plain
from harness.environments.base import InvalidAction, Plain
from harness.evaluation.channel import Channel
from harness.evaluation.printed import OutputPipe, Printed
from harness.evaluation.text import printable
from harness.sandbox.base import Box, BoxRequest, Sandbox, SandboxError
from harness.untrusted.removal import discard

CALL_S = 60.0
"""Seconds that a call may take by default."""
_START_S = 60.0
_DEATH_S = 1.0
_LONGEST_ANSWER = 1_100_000
_WORKER = Path(__file__).with_name("policy_worker.py")
_PLAIN = Path(plain.__file__)
_SPACES = _PLAIN.with_name("spaces.py")
_VARIABLES = {
    "PYTHONHASHSEED": "0",  # sets iterate the same way in every run
    "OMP_NUM_THREADS": "1",  # episodes share the machine with other cases
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class PolicyError(Exception):
    """The submission failed. The message is its traceback, or says how its process ended. It is safe to print."""


class PolicyTimeout(PolicyError):
    """The submission did not answer in time."""


class PolicyHost:
    """A submission's policy, running in a sandbox.

    `submission` is a folder with an `approach.py`; it is mounted read-only. The policy's own working directory and home
    are below `scratch` and are removed with its process. `spaces` is what `Environment.spaces()` returned.

    The first `load` or `reset` starts the process, which then serves one episode after the other. A process that hangs,
    dies, sends nonsense or cannot load the submission is killed with all its descendants. The next `load` or `reset`
    starts a new one. `load` and `reset` raise `SandboxError` if the sandbox itself does not work.
    """

    def __init__(self, sandbox: Sandbox, submission: Path, scratch: Path, spaces: dict[str, Plain]) -> None:
        self._sandbox = sandbox
        self._submission = submission
        self._scratch = scratch
        self._spaces = spaces
        self._starts = 0
        self._box: Box | None = None
        self._channel: Channel | None = None
        self._printed = Printed()
        self._output: OutputPipe | None = None

    def load(self, timeout_s: float = CALL_S) -> None:
        """Import the submission and make its `GeneratedApproach`, unless this is done.

        Raise `PolicyError` if the submission fails.
        """
        if self._channel is not None:
            return
        self._start()
        try:
            self._ask({"do": "load"}, timeout_s)
        except PolicyError:
            self.close()
            raise

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float = CALL_S) -> None:
        """Begin an episode. Raise `PolicyError` if the policy fails."""
        self.load(timeout_s)
        self._ask({"do": "reset", "observation": observation, "info": info}, timeout_s)

    def act(self, observation: Plain, timeout_s: float = CALL_S) -> Plain:
        """Return the policy's action, which is not checked yet.

        Raise `PolicyError` if the policy fails, and `InvalidAction` if the action is not plain data.
        """
        answer = self._ask({"do": "act", "observation": observation}, timeout_s)
        if "invalid" in answer:
            raise InvalidAction(printable(str(answer["invalid"])))
        return answer.get("done")

    def printed(self) -> str:
        """Return what the policy has printed since the last call, also what it printed before it was killed.

        The text is safe to print. Of a long one, only the beginning and the end are kept.
        """
        if self._output is not None:
            self._output.catch_up()
        return self._printed.take()

    def close(self) -> None:
        """Kill every process of the policy and remove what it wrote. May be called again."""
        self._channel = None
        box, self._box = self._box, None
        if box is not None:
            box.close()
        output, self._output = self._output, None
        if output is not None:
            output.catch_up()
            output.close()
        discard(self._room)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _room(self) -> Path:
        return self._scratch / f"policy-{self._starts}"

    def _start(self) -> None:
        """Start the worker in a new box and send it the spaces. No code of the submission runs yet."""
        self._starts += 1
        for name in ("workspace", "home"):
            (self._room / name).mkdir(parents=True)
        self._output = OutputPipe(self._room / "output", self._printed)
        python = self._sandbox.python
        request = BoxRequest(
            workspace=self._room / "workspace",
            home=self._room / "home",
            stderr=self._output.path,
            readable=(*python.readable, _WORKER, _PLAIN, _SPACES),
            mounts={"submission": self._submission},
            kept=False,
        )
        try:
            self._box = box = self._sandbox.open(request)
            arguments = (str(_PLAIN), str(_SPACES), box.mounts["submission"])
            box.exec([python.inside, "-s", "-P", "-B", str(_WORKER), *arguments], _VARIABLES)
            self._channel = Channel(box.stdout, box.stdin, self._look, _LONGEST_ANSWER, self._output)
            self._exchange({"do": "open", "spaces": self._spaces}, _START_S)
        except (PolicyError, SandboxError, OSError) as error:
            self.close()
            said = printable(self.printed()).strip()
            last = f": {said.splitlines()[-1]}\n{said}" if said else ""  # the last line of a traceback says most
            raise SandboxError(f"the policy's process did not start: {error or 'no answer'}{last}") from error

    def _ask(self, request: dict[str, Plain], timeout_s: float) -> dict[str, Any]:
        """Return the answer to a request. Kill the process if it gives none."""
        try:
            answer = self._exchange(request, timeout_s)
        except PolicyError:
            self.close()
            raise
        if "error" in answer:
            raise PolicyError(printable(str(answer["error"])).strip())
        return answer

    def _exchange(self, request: dict[str, Plain], timeout_s: float) -> dict[str, Any]:
        if self._channel is None:
            raise PolicyError("the policy is not running: call reset first")
        message = plain.dumps(request)
        deadline = time.monotonic() + timeout_s
        try:
            self._channel.send(message, deadline)
            answer = plain.loads(self._channel.receive(deadline), _LONGEST_ANSWER)
            if not isinstance(answer, dict):
                raise ValueError("not a dict")
        except (OSError, ValueError) as error:
            raise self._failure(error, f"no answer to {request['do']!r} within {timeout_s:.3g} s") from None
        return answer

    def _failure(self, error: Exception, late: str) -> PolicyError:
        """Return the error of the policy that explains a failed exchange."""
        match error:
            case TimeoutError():
                return PolicyTimeout(late)
            case OSError():
                return PolicyError(self._ending())
        return PolicyError(f"the policy's process sent an invalid answer: {printable(str(error))}")

    def _look(self) -> None:
        """Raise `PolicyError` if the process has ended. Its children may still hold the connection open."""
        code = self._box.poll() if self._box else None
        if code is not None:
            raise PolicyError(_ended(code))

    def _ending(self) -> str:
        """Return why the connection is gone: the process ended, or it closed the connection but still runs."""
        code = self._box.wait(_DEATH_S) if self._box else None
        return "the policy's process closed its connection" if code is None else _ended(code)


def _ended(code: int) -> str:
    known = {int(number): number.name for number in signal.Signals}
    how = f"exit code {code}" if code >= 0 else f"killed by {known.get(-code, f'signal {-code}')}"
    return f"the policy's process ended ({how})"
