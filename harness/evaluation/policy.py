"""Runs a submission's policy in a sandbox of its own. Observations go in and actions come out, both as plain data."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.environments import plain
from harness.environments.base import Plain, Step
from harness.environments.channel import Channel
from harness.environments.hosts import ended
from harness.evaluation.policy_link import (
    LONGEST_ANSWER,
    PolicyBroken,
    PolicyError,
    PolicyGone,
    PolicyLink,
    PolicyTimeout,
)
from harness.evaluation.printed import OutputPipe, Printed
from harness.evaluation.private_world import PrivateWorld
from harness.evaluation.program import AGENTS_ENTRY, PolicyEntry
from harness.evaluation.text import printable
from harness.sandbox.base import MB, BoundedSandbox, Bounds, Box, BoxRequest, Sandbox, SandboxError
from harness.sandbox.paths import python_at
from harness.untrusted.removal import discard

CALL_S = 60.0
"""Seconds that a call may take by default."""
_START_S = 60.0
_DEATH_S = 1.0
_WORKER = Path(__file__).with_name("policy_worker.py")
_PARTS = (
    Path(plain.__file__),
    Path(plain.__file__).with_name("spaces.py"),
    Path(plain.__file__).with_name("object_space.py"),
    _WORKER.with_name("worker_states.py"),
    _WORKER.with_name("worker_policy.py"),
    _WORKER.with_name("worker_primitives.py"),
)
"""The files that the worker loads, in the order of its arguments."""
_OBJECT_CENTRIC = Path(plain.__file__).with_name("object_centric.py")
"""A file that spaces.py loads if it is needed."""
_VARIABLES = {
    "PYTHONHASHSEED": "0",  # sets iterate the same way in every run
    "OMP_NUM_THREADS": "1",  # episodes share the machine with other cases
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class PolicyHost:
    """A submission's policy, running in a sandbox.

    `submission` is a folder with the module of `entry`, which is `approach.py` by default. It is mounted read-only. The
    policy's own working directory and home are below `scratch` and are removed with its process. `spaces` is what
    `Environment.spaces()` returned.

    The first `load` or `reset` starts the process, which then serves one episode after the other. Each begins with the
    policy as it was after `load`, unless it is to `carry_over` what it learns. A process that hangs, dies, sends
    nonsense or cannot load the submission is killed with all its descendants. The next `load` or `reset` starts a new
    one. `load` and `reset` raise `SandboxError` if the sandbox itself does not work. `look` is called a few times a
    second while this waits; it may raise an exception. `world` answers the primitives that the policy is given.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        submission: Path,
        scratch: Path,
        spaces: dict[str, Plain],
        look: Callable[[], None] = lambda: None,
        *,
        entry: PolicyEntry = AGENTS_ENTRY,
        carry_over: bool = False,
        world: PrivateWorld | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._submission = submission
        self._scratch = scratch
        self._spaces = spaces
        self._on_look = look
        self._entry = entry
        self._primitives = tuple(world.granted.files.values()) if world else ()
        self._answer = world.answer if world else None
        self._program: dict[str, Plain] = {
            "module": entry.module,
            "class": entry.name,
            "folders": list(entry.folders),
            "primitives": world.granted.request() if world else None,
            "carry_over": carry_over,
        }
        self._starts = 0
        self._box: Box | None = None
        self._link: PolicyLink | None = None
        self._printed = Printed()
        self.output: OutputPipe | None = None

    def load(self, timeout_s: float = CALL_S) -> bool:
        """Import the submission and make its program, unless this is done. Return whether it was not.

        Raise `PolicyError` if the submission fails.
        """
        if self._link is not None and self._box is not None and self._box.poll() is None:
            return False
        self.close()
        link = self._start()
        try:
            self._call(link.load, self._program, timeout_s)
        except PolicyError:
            self.close()
            raise
        return True

    def reset(self, observation: Plain, info: dict[str, Plain], timeout_s: float = CALL_S) -> None:
        """Begin an episode. Raise `PolicyError` if the policy fails."""
        self.load(timeout_s)
        self._call(self._running().reset, observation, info, timeout_s)

    def act(self, observation: Plain, timeout_s: float = CALL_S) -> Plain:
        """Return the policy's action, which is not checked yet.

        Raise `PolicyError` if the policy fails, and `InvalidAction` if the action is not plain data.
        """
        return self._call(self._running().act, observation, timeout_s)

    def update(self, step: Step, timeout_s: float = CALL_S) -> None:
        """Tell the program the outcome of its last action, if it wants that. Raise `PolicyError` if it fails."""
        self._call(self._running().update, step, timeout_s)

    def descriptors(self) -> tuple[int, int]:
        """Return the descriptors of the running policy's connection: for its answers, and for requests to it.

        As long as another process uses them, nothing here may use the policy.
        """
        if self._box is None:
            raise PolicyError("the policy is not running: call load first")
        return self._box.stdout.fileno(), self._box.stdin.fileno()

    def reap(self) -> None:
        """If the policy's process has ended, kill its children, which may still hold the connection open."""
        self._on_look()
        if self._box is not None and self._box.poll() is not None:
            self._box.close()

    def ending(self) -> str:
        """Return why the connection is gone: the process ended, or it closed the connection but still runs."""
        code = self._box.wait(_DEATH_S) if self._box else None
        if code is None:
            return "the policy's process closed its connection"
        return ended(code, "the policy's process") + (self._over_memory() if code == -signal.SIGKILL else "")

    def printed(self) -> str:
        """Return what the policy has printed since the last call, also what it printed before it was killed.

        The text is safe to print. Of a long one, only the beginning and the end are kept.
        """
        if self.output is not None:
            self.output.catch_up()
        return self._printed.take()

    def close(self) -> None:
        """Kill every process of the policy and remove what it wrote. May be called again."""
        self._link = None
        box, self._box = self._box, None
        if box is not None:
            box.close()
        output, self.output = self.output, None
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

    def _over_memory(self) -> str:
        """Return that the process, which was killed, used too much memory, or an empty text."""
        bounds = self._sandbox.bounds if isinstance(self._sandbox, BoundedSandbox) else Bounds()
        limit = bounds.memory_bytes
        if self._box is None or limit is None:
            return ""
        self._box.close()  # which measures at last
        used = self._box.resources()
        if not (used.out_of_memory or used.memory_bytes > limit):
            return ""
        return f": it used more than the {limit / MB:g} MB of memory that limits.memory_mb allows"

    def _running(self) -> PolicyLink:
        if self._link is None:
            raise PolicyError("the policy is not running: call reset first")
        return self._link

    def _start(self) -> PolicyLink:
        """Start the worker in a new box and send it the spaces. No code of the submission runs yet."""
        self._starts += 1
        for name in ("workspace", "home"):
            (self._room / name).mkdir(parents=True)
        self.output = OutputPipe(self._room / "output", self._printed)
        python = self._sandbox.python if self._entry.python is None else python_at(Path(self._entry.python))
        request = BoxRequest(
            workspace=self._room / "workspace",
            home=self._room / "home",
            stderr=self.output.path,
            readable=(*python.readable, _WORKER, *_PARTS, _OBJECT_CENTRIC, *self._primitives),
            mounts={"submission": self._submission},
            shared=frozenset({"submission"}),  # by the boxes that play side by side
            kept=False,
        )
        try:
            self._box = box = self._sandbox.open(request)
            arguments = (box.mounts["submission"], *map(str, _PARTS))
            box.exec([python.inside, "-s", "-P", "-B", str(_WORKER), *arguments], _VARIABLES)
            ends = (box.stdout.fileno(), box.stdin.fileno())
            channel = Channel(*ends, LONGEST_ANSWER, self._look, (self.output,))
            self._link = link = PolicyLink(channel, self._answer)
            link.open(self._spaces, _START_S)
        except (PolicyError, SandboxError, OSError) as error:
            why = self.ending() if isinstance(error, PolicyGone) else str(error)
            self.close()
            said = printable(self.printed()).strip()
            last = f": {said.splitlines()[-1]}\n{said}" if said else ""  # the last line of a traceback says most
            raise SandboxError(f"the policy's process did not start: {why or 'no answer'}{last}") from error
        return link

    def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return the answer of the policy. Kill the process if it gives none."""
        try:
            return call(*arguments)
        except PolicyGone:
            why = self.ending()
            self.close()
            raise PolicyGone(why) from None
        except (PolicyTimeout, PolicyBroken):
            self.close()
            raise

    def _look(self) -> None:
        """Raise `PolicyGone` if the process has ended. Its children may still hold the connection open."""
        self._on_look()
        code = self._box.poll() if self._box else None
        if code is not None:
            raise PolicyGone(ended(code, "the policy's process"))
