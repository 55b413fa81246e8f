"""The processes that belong to a server, whatever happened to their parents; and the file of the leases."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.servers.base import ServerFault
from harness.servers.leases import FOLDER_VARIABLE, Holder, LeasedServer, Leases, lease_folder, new_holder, new_id
from harness.servers.processes import MARKER, Process, family, marked, myself, process, stop_family
from tests.support.serving import wait_until

TREE = """
sh -c 'setsid sleep 1000 & sleep 1000 & exec sleep 1000' &
env -i /bin/sleep 1000 &
exec sleep 1000
"""
"""A child that orphans two processes (one in its own session), and one process that has hidden its variables."""


@pytest.fixture
def mark(tmp_path: Path) -> str:
    return f"{tmp_path}/{new_id()}"


@pytest.fixture
def leader(mark: str) -> Iterator[Process]:
    """Yield a server's first process, once it has started five in total."""
    child = subprocess.Popen(["/bin/sh", "-c", TREE], env={**os.environ, MARKER: mark}, start_new_session=True)
    found = process(child.pid)
    assert found
    wait_until(lambda: len(family(found, mark)) == 5 and _names(family(found, mark)) == {"sleep"}, "five processes")
    yield found
    for pid in family(found, mark):
        psutil.Process(pid).kill()
    child.wait()


def _names(pids: set[int]) -> set[str]:
    return {psutil.Process(pid).name() for pid in pids if psutil.pid_exists(pid)}


def test_orphans_are_found_by_their_mark_or_session(leader: Process, mark: str) -> None:
    everyone = family(leader, mark)
    psutil.Process(leader.pid).kill()
    wait_until(lambda: not leader.lives, "its end")
    assert family(leader, mark) == everyone - {leader.pid}
    assert set(marked(mark).values()) == {mark}
    assert len(marked(mark)) == 3, "one of them has hidden its variables"


def test_a_stranger_in_a_session_of_the_same_number_is_left_alone(leader: Process, mark: str) -> None:
    psutil.Process(leader.pid).kill()
    wait_until(lambda: not leader.lives, "its end")
    others = f"{mark}-other"
    assert len(family(leader, others)) == 1, "the one whose variables say nothing"
    assert family(Process(leader.pid, leader.started + 10**9), others) == set()


def test_stopping_a_family_leaves_no_process(leader: Process, mark: str) -> None:
    assert stop_family(leader, mark, grace_s=5) == set()
    assert family(leader, mark) == set()
    assert not leader.lives


def test_a_dead_process_does_not_live_even_as_a_zombie() -> None:
    with subprocess.Popen(["/bin/sleep", "1000"]) as child:
        found = process(child.pid)
        assert found
        assert found.lives
        assert not Process(found.pid, found.started + 1).lives
        child.kill()
        wait_until(lambda: not found.lives, "its death")
        assert psutil.pid_exists(child.pid)
    assert process(child.pid) is None
    assert myself() == process(os.getpid())


class TestLeases:
    def test_a_dead_process_holds_no_lease(self, tmp_path: Path) -> None:
        dead = Holder(Process(os.getpid(), 1), "dead")
        living = new_holder()
        with Leases(tmp_path / "leases").change() as state:
            state.servers.append(_server(holders=[dead, living]))
        with Leases(tmp_path / "leases").change() as state:
            assert state.servers[0].holders == [living]
            assert not state.servers[0].abandoned
            state.servers[0].holders.clear()
        with Leases(tmp_path / "leases").change() as state:
            assert state.servers[0].abandoned

    def test_nothing_is_kept_if_the_change_fails(self, tmp_path: Path) -> None:
        leases = Leases(tmp_path / "leases")

        def fail() -> None:
            with leases.change() as state:
                state.servers.append(_server())
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        with leases.change() as state:
            assert state.servers == []

    @pytest.mark.parametrize("content", [b"", b"{", b'{"boot": "of another day", "servers": []}', b"[1]"])
    def test_an_unreadable_file_counts_as_empty(self, tmp_path: Path, content: bytes) -> None:
        leases = Leases(tmp_path / "leases")
        (leases.folder / "leases.json").write_bytes(content)
        with leases.change() as state:
            assert state.servers == []
            state.servers.append(_server())
        with leases.change() as state:
            assert [server.key for server in state.servers] == ["ollama/x#1"]

    def test_many_processes_change_it_one_after_the_other(self, tmp_path: Path) -> None:
        program = (
            "import sys; from pathlib import Path; from tests.unit.test_servers_processes import add\n"
            "add(Path(sys.argv[1]), 20)"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "leases")]
        workers = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
        assert [worker.wait() for worker in workers] == [0, 0, 0]
        with Leases(tmp_path / "leases").change() as state:
            assert len(state.servers) == 60

    def test_the_folder_must_belong_to_this_user_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        open_to_all = tmp_path / "leases"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        with pytest.raises(ServerFault, match=f"{open_to_all} must be a folder that only user"):
            Leases(open_to_all)
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(ServerFault, match="must be a folder"):
            Leases(tmp_path / "link")

    @pytest.mark.parametrize("taken", ["folder of another user", "link", "file", "open to all"])
    def test_another_folder_is_found_if_the_usual_name_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
    ) -> None:
        monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
        monkeypatch.setattr("harness.servers.leases._TEMPORARY", tmp_path)
        monkeypatch.setattr("harness.servers.leases._RUNTIME", tmp_path / "run")
        usual = tmp_path / f"proctor-{os.getuid()}"
        assert lease_folder() == usual
        self._take(usual, taken)
        other = lease_folder()
        assert other == tmp_path / f"proctor-{os.getuid()}.2"
        with Leases().change() as state:
            state.servers.append(_server())
        usual.unlink() if usual.is_symlink() or usual.is_file() else usual.rmdir()
        assert lease_folder() == other, "the leases stay where they are"
        with Leases().change() as state:
            assert len(state.servers) == 1

    def test_the_folder_of_the_login_session_comes_before_another_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
        monkeypatch.setattr("harness.servers.leases._TEMPORARY", tmp_path)
        monkeypatch.setattr("harness.servers.leases._RUNTIME", tmp_path / "run")
        (tmp_path / "run" / str(os.getuid())).mkdir(parents=True)
        (tmp_path / f"proctor-{os.getuid()}").touch()
        assert lease_folder() == tmp_path / "run" / str(os.getuid()) / "proctor"

    @staticmethod
    def _take(usual: Path, taken: str) -> None:
        match taken:
            case "link":
                usual.symlink_to(usual.parent)
            case "file":
                usual.touch()
            case "open to all":
                usual.mkdir()
                usual.chmod(0o777)
            case _:
                usual.mkdir()
                if os.geteuid() != 0:
                    pytest.skip("only root can make a folder of another user")
                os.chown(usual, 65534, 65534)


def add(folder: Path, count: int) -> None:
    """Add a number of servers, each with a separate change."""
    for _ in range(count):
        with Leases(folder).change() as state:
            state.servers.append(_server())


def _server(holders: list[Holder] | None = None) -> LeasedServer:
    return LeasedServer(id=new_id(), key="ollama/x#1", parallel=9, state="ready", owner=None, holders=holders or [])
