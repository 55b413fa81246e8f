"""Leases that another version of Proctor wrote: its servers are neither used nor stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.servers.base import ServerFault
from harness.servers.leases import Leases
from harness.servers.stop import sweep
from tests.support.serving import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("format"),
        lambda state: state.update(format="0123456789ab"),
        lambda state: state.update(servers={server["id"]: server for server in state["servers"]}),
        lambda state: state["servers"][0].pop("parallel"),
    ],
    ids=["before formats", "another format", "another shape", "another server"],
)
def test_leases_of_another_version_are_refused_and_its_servers_live_on(
    machine: Machine, change: Callable[[dict[str, Any]], None]
) -> None:
    lease = machine.acquire()
    file = machine.lease_folder / "leases.json"
    ours = file.read_bytes()
    state = json.loads(ours)
    change(state)
    file.write_text(json.dumps(state))
    theirs = file.read_bytes()
    for use in (lambda: sweep(Leases()), machine.acquire):
        with pytest.raises(ServerFault, match=r"leases\.json was written by another version.*remove the"):
            use()
    assert file.read_bytes() == theirs
    assert machine.processes
    file.write_bytes(ours)
    lease.release()


def test_leases_of_another_version_without_servers_are_replaced(machine: Machine) -> None:
    machine.acquire().release()
    file = machine.lease_folder / "leases.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"format": "0123456789ab"}))
    machine.acquire().release()


def test_leases_of_another_version_from_before_a_restart_of_the_machine_are_replaced(machine: Machine) -> None:
    machine.acquire().release()
    file = machine.lease_folder / "leases.json"
    file.write_text(json.dumps({"boot": "another", "servers": {"a": 1}}))
    machine.acquire().release()
