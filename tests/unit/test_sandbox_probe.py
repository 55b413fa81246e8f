"""The probe accepts a sound sandbox, and refuses a broken or leaking one with the reason and the remedy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.case import SandboxConf
from harness.sandbox import canaries, probe, views
from harness.sandbox.base import SandboxError
from harness.sandbox.diagnosis import Host, look, remedy
from harness.sandbox.none import NoSandbox
from tests.support.sandboxes import PYTHON, bubblewrap, request

NO_NAMESPACE = "bwrap: No permissions to create new namespace"


def test_bubblewrap_works_on_this_machine() -> None:
    by_user = () if os.geteuid() == 0 else tuple(words for words, _ in canaries.GRADED.values() if "devices" in words)
    found = probe.probe(bubblewrap())
    assert (found.ok, found.weaker) == (True, by_user)
    assert set(canaries.MUST) <= set(found.guarantees)


def test_a_machine_without_overlays_has_a_weaker_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.sandbox.views._table", lambda folders: "overlay /nowhere overlay ro 0 0\n")
    views._accepted.cache_clear()
    try:
        found = probe.probe(bubblewrap())
    finally:
        views._accepted.cache_clear()
    assert found.ok
    assert found.weaker == tuple(canaries.GRADED[name][0] for name in ("own locks on files", "own locks on devices"))


def test_no_sandbox_says_that_it_seals_nothing() -> None:
    assert probe.probe(NoSandbox(SandboxConf("none", "none"))).reason == "it seals nothing: for debugging only"


def test_a_missing_bubblewrap_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = probe.probe(bubblewrap())
    assert (found.ok, found.reason) == (False, "bubblewrap is not installed")
    assert found.remedy.startswith("apt-get install bubblewrap")


@pytest.mark.parametrize(
    ("script", "reason", "advice"),
    [
        (f"echo '{NO_NAMESPACE}' >&2; exit 1", NO_NAMESPACE, ""),
        ("echo 'bwrap: Unknown option --size' >&2; exit 1", "Unknown option --size", "0.8 or later"),
        ("exit 3", "it ended without output (status 3)", "bwrap"),
        ("kill -9 $$", "it ended without output (status -9)", "bwrap"),
    ],
)
def test_a_failing_bubblewrap_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, reason: str, advice: str
) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = probe.probe(bubblewrap())
    assert not found.ok
    assert reason in found.reason
    assert found.remedy
    assert advice in found.remedy


def test_an_init_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.sandbox.bubblewrap.limits_of", lambda *_: {"RLIMIT_UNHEARD_OF": 1})
    with pytest.raises(SandboxError, match=r"RLIMIT_UNHEARD_OF.*\n."):
        bubblewrap().open(request(tmp_path))


def test_the_canaries_find_the_holes_of_a_weaker_sandbox() -> None:
    bwrap = shutil.which("bwrap")
    assert bwrap
    weaker = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "--setenv", "KEY", "secret")
    run = subprocess.run(
        [bwrap, *weaker, PYTHON.inside, "-I", "-S", canaries.__file__], capture_output=True, check=True
    )
    found = json.loads(run.stdout)
    holes = set(found["leaks"])
    assert [words for words in found["weaker"] if "locks" not in words] == [
        words for words, _ in canaries.GRADED.values() if "Landlock" in words
    ], "another session's probe may hold the locks"
    assert {
        "no seccomp filter is on, or no_new_privs is off",
        "the environment of PID 1 can be read",
        "system files can be written",
        "the host's secrets show",
    } <= holes
    assert "processes of the host show" not in holes, "they have their own namespace"


def test_a_hole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.sandbox.bubblewrap._NAMESPACES", ("--unshare-pid", "--unshare-ipc", "--unshare-uts"))
    found = probe.probe(bubblewrap())
    assert not found.ok
    assert "the network can be reached" in found.reason
    assert found.remedy


@pytest.mark.parametrize(
    ("host", "reason", "advice"),
    [
        (Host(root=False, userns_clone="0"), NO_NAMESPACE, "sysctl kernel.unprivileged_userns_clone=1"),
        (Host(root=False, max_user_namespaces="0"), NO_NAMESPACE, "sysctl user.max_user_namespaces"),
        (Host(root=False, apparmor_restricts="1"), "setting up uid map: Permission denied", "AppArmor"),
        (Host(root=True, apparmor_restricts="1", container=True), NO_NAMESPACE, "--cap-add SYS_ADMIN"),
        (Host(root=True, container=True), "Can't mount proc: Operation not permitted", "systempaths=unconfined"),
        (Host(root=True, gvisor=True), "prctl: Invalid argument", "gVisor"),
        (Host(root=False), NO_NAMESPACE, "run as root"),
        (Host(root=True), "Can't find source path /x: No such file or directory", "bwrap --ro-bind"),
    ],
)
def test_each_known_host_has_its_remedy(host: Host, reason: str, advice: str) -> None:
    assert advice in remedy(reason, host)


def test_the_host_is_examined(tmp_path: Path) -> None:
    (tmp_path / "sys" / "kernel").mkdir(parents=True)
    (tmp_path / "sys" / "kernel" / "unprivileged_userns_clone").write_text("0\n")
    (tmp_path / "version").write_text("Linux version 4.4.0 (gVisor)\n")
    found = look(root=False, proc=tmp_path, marker=tmp_path / "none")
    assert found == Host(root=False, userns_clone="0", gvisor=True)
