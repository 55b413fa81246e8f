"""A Slurm of the tests' own on this machine: munged, slurmctld, and a slurmd for each node.

They have a key, ports and a folder of their own, and nothing of a Slurm that may be installed here. A node is a slurmd
on this machine. It dies when its slurmd and all processes of its jobs are killed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from harness.untrusted.removal import remove

_START_S = 60.0
_NODES = 4
_PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue", "scontrol", "scancel")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_CONF = """\
ClusterName=proctor
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=300
KillWait=20
MinJobAge=300
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Return what this machine lacks for a Slurm, or `None`."""
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"{', '.join(lacking)}: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "only root can start slurmd"


class SlurmCluster:
    """A running Slurm with four nodes, `n1` to `n4`, for one job each. `slurm_cluster` makes it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, _NODES + 1)]
        self._slurmds: dict[str, subprocess.Popen[bytes]] = {}
        controller, *ports = _free_ports(1 + _NODES)
        lines = [
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=512"
            for node, port in zip(self.nodes, ports, strict=True)
        ]
        self.conf.write_text(_CONF.format(folder=folder, controller=controller, nodes="\n".join(lines)))
        (folder / "state").mkdir()
        stack.callback(self._end_jobs)
        self._start_munge(stack)
        self._ended_with(stack, self._start("slurmctld", "-D", "-f", str(self.conf)))
        for node in self.nodes:
            self.start_node(node)
        stack.callback(self._stop_nodes)
        _wait(lambda: self.states() == dict.fromkeys(self.nodes, "idle"), self._words)

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which Slurm's commands find this cluster."""
        return {"SLURM_CONF": str(self.conf), "PATH": _PATH}

    def call(self, *command: str) -> str:
        """Return what a command of Slurm prints."""
        return subprocess.run(
            command, env=os.environ | self.variables, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def states(self) -> dict[str, str]:
        """Return the state of each node, in Slurm's words."""
        with suppress(subprocess.CalledProcessError):  # it has just been started
            return dict(line.split() for line in self.call("sinfo", "-hN", "-o", "%N %T").splitlines())
        return {}

    def node_of(self, job: str) -> str:
        """Return the node that a job runs on."""
        return self.call("squeue", "-h", "-j", job, "-o", "%N").strip()

    def start_node(self, node: str) -> None:
        """Start a node, or bring a dead one back."""
        (self.folder / f"spool-{node}").mkdir(exist_ok=True)
        self._slurmds[node] = self._start("slurmd", "-D", "-N", node, "-f", str(self.conf))

    def revive(self, node: str) -> None:
        """Bring a dead node back, and wait until it takes jobs."""
        self.start_node(node)

        def is_back() -> bool:
            if "down" not in self.states().get(node, "down"):
                return True
            with suppress(subprocess.CalledProcessError):  # it has just registered: Slurm takes it back by itself
                self.call("scontrol", "update", f"nodename={node}", "state=resume")
            return False

        _wait(is_back, self._words)

    def kill_node(self, node: str) -> None:
        """Let a node die: nothing on it ends in order. Slurm then takes it for down."""
        for process in [*_of_node(node, self.folder), psutil.Process(self._slurmds[node].pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._slurmds[node].wait()
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=died")

    def empty(self) -> None:
        """Wait until no job is left. A cancelled one is there until its processes have ended."""
        _wait(lambda: not self.call("squeue", "-h"), lambda: self.call("squeue"))

    def release(self) -> None:
        """Let jobs that run again begin at once. Slurm lets them wait for two minutes."""
        for job in self.call("squeue", "-h", "-r", "-t", "pending", "-o", "%A").split():
            with suppress(subprocess.CalledProcessError):  # it has just begun
                self.call("scontrol", "update", f"jobid={job}", "starttime=now")

    def _start_munge(self, stack: ExitStack) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o711)
        key = folder / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for path in (folder, key):
            shutil.chown(path, "munge", "munge")
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{name}={folder / file}" for name, file in places.items()]
        with (self.folder / "munged.log").open("ab") as log:
            munged = subprocess.Popen(
                [shutil.which("munged", path=_PATH) or "munged", "--foreground", "--force", *options],
                stdout=log,
                stderr=log,
                user="munge",
                group="munge",
                extra_groups=[],
            )
        self._ended_with(stack, munged)
        _wait((folder / "socket").exists, self._words)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen([shutil.which(program, path=_PATH) or program, *arguments], stdout=log, stderr=log)

    @staticmethod
    def _ended_with(stack: ExitStack, process: subprocess.Popen[bytes]) -> None:
        def end() -> None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
                return
            process.kill()
            process.wait()

        stack.callback(end)

    def _stop_nodes(self) -> None:
        with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            self.call("scancel", "--user=root", "--signal=KILL")
        for node, slurmd in self._slurmds.items():
            for process in _of_node(node, self.folder):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            slurmd.kill()
            slurmd.wait()

    def _end_jobs(self) -> None:
        """Kill what is left of the nodes' jobs."""
        for node in self.nodes:
            for process in _of_node(node, self.folder):
                with suppress(psutil.NoSuchProcess):
                    process.kill()

    def _words(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """Yield a Slurm that has started, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="proctor-slurm-"))
    folder.chmod(0o711)
    try:
        with ExitStack() as stack:
            yield SlurmCluster(folder, stack)
    finally:
        remove(folder)


def _of_node(node: str, folder: Path) -> set[psutil.Process]:
    """Return the processes of the jobs on a node, and the slurmstepd of each."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            variables = process.environ()
            if variables.get("SLURMD_NODENAME") == node and variables.get("SLURM_CONF", "").startswith(str(folder)):
                found.add(process)
                parent = process.parent()
                if parent is not None and "slurmstepd" in parent.name():
                    found.add(parent)
    return found


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait(condition: Callable[[], bool], words: Callable[[], str]) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        assert time.monotonic() < deadline, words()
        time.sleep(0.1)
