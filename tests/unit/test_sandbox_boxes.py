"""What every box does, sealed or not; and what a sealed box adds."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness.case import SandboxConf
from harness.case_folder import CaseFolder
from harness.endings import ConfError
from harness.sandbox.base import Sandbox, SandboxError
from harness.sandbox.dirs import SandboxDirs
from harness.sandbox.factory import make_sandbox
from tests.support.sandboxes import END_S, PYTHON, bubblewrap, finish, processes_with, python, read_all, request

KINDS = ("bubblewrap", "none")


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return make_sandbox(SandboxConf(name="test", kind=request.param))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "jail",
            {},
            "sandbox.kind: there is no kind jail; choose from: apptainer, auto, bubblewrap, docker, none, podman",
        ),
        ("bubblewrap", {"user": 1}, "sandbox.options: Object contains unknown field `user`; the options are: uid"),
        ("bubblewrap", {"uid": 0}, "sandbox.options: Expected `int` >= 1 - at `$.uid`; the options are: uid"),
        ("none", {"uid": 1}, "sandbox.options: a sandbox of kind none has no options"),
    ],
)
def test_a_wrong_kind_or_option_is_refused_with_file_key_and_choices(
    kind: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfError, match=f"^{re.escape(f'conf/sandbox/x.yaml: {message}')}$"):
        make_sandbox(SandboxConf("x", kind, options=options))


def test_whether_a_kind_seals_is_known_without_opening_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert {kind: make_sandbox(SandboxConf("x", kind)).seals for kind in KINDS} == {"bubblewrap": True, "none": False}


def test_a_command_has_its_streams_and_working_directory(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.open(request(tmp_path)) as box:
        box.exec(["sh", "-c", "cat; pwd; echo trouble >&2; echo text > file; echo kept > ~/note"], {})
        box.stdin.write(b"said\n")
        box.stdin.close()
        assert read_all(box).decode() == f"said\n{box.workspace}\n"
        assert box.wait(END_S) == 0
    assert (tmp_path / "stderr").read_text() == "trouble\n"
    assert (tmp_path / "workspace" / "file").read_text() == "text\n"
    assert (tmp_path / "home" / "note").read_text() == "kept\n"


def test_no_other_process_can_write_to_the_output_of_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    forge = "echo forged > /proc/$PPID/fd/1 || echo refused > tried"
    command = python(f"import subprocess; subprocess.run({forge!r}, shell=True, stdout=subprocess.DEVNULL); print(1)")
    with sandbox.open(request(tmp_path)) as box:
        assert finish(box, command) == (0, "1\n")
    assert (tmp_path / "workspace" / "tried").read_text() == "refused\n"


def test_the_environment_is_the_given_one_and_four_more_variables(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    dump = python("import os; print(dict(os.environ))")
    with sandbox.open(request(tmp_path)) as box:
        _, output = finish(box, dump, {"GIVEN": "a=b c", "LANG": "C"})
        found = eval(output)  # noqa: S307 - printed by this test's own line
        path = found.pop("PATH").split(":")
        found.pop("LC_CTYPE", None)  # Python's own, in the C locale (PEP 538)
        assert found == {"GIVEN": "a=b c", "LANG": "C", "HOME": box.home, "TMPDIR": "/tmp"}  # noqa: S108 - a value
        assert {"/usr/bin", "/bin"} <= set(path)


@pytest.mark.parametrize("code", [0, 1, 127, 137, 255])
def test_an_exit_code_is_exact(sandbox: Sandbox, tmp_path: Path, code: int) -> None:
    with sandbox.open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", f"exit {code}"])[0] == code
        assert box.close().exit_code == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_a_negative_exit_code(sandbox: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    with sandbox.open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", f"kill -{number.value} $$"])[0] == -number


def test_a_command_runs_until_it_is_terminated(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.open(request(tmp_path)) as box:
        assert box.poll() is None
        box.exec(["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do read line; done"], {})
        assert box.stdout.read(3) == b"up\n"
        assert box.poll() is None
        assert box.wait(0.01) is None
        box.stdin.close()
        box.terminate()
        assert box.wait(END_S) == 7


def test_closing_kills_running_processes_and_may_be_repeated(sandbox: Sandbox, tmp_path: Path) -> None:
    box = sandbox.open(request(tmp_path))
    box.exec(["sleep", "1000"], {})
    death = box.close()
    assert death.exit_code == -signal.SIGKILL
    assert 0 <= death.seconds < END_S
    assert box.close() == death
    box.terminate()


def test_a_box_that_ran_nothing_can_be_closed(sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox.open(request(tmp_path, endpoints=("model",))).close().exit_code == -signal.SIGKILL


def test_a_background_child_neither_hides_nor_changes_the_exit_code(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.open(request(tmp_path)) as box:
        box.exec(["sh", "-c", "sleep 1000 & exit 5"], {})
        assert box.wait(END_S) == 5
        assert box.close().exit_code == 5


@pytest.mark.parametrize(
    ("argv", "reason"),
    [(["no-such-program"], "No such file"), (["/etc/passwd"], "Permission denied"), (["sh", "a\0b"], "null byte")],
)
def test_a_command_that_cannot_start_says_why(sandbox: Sandbox, tmp_path: Path, argv: list[str], reason: str) -> None:
    with sandbox.open(request(tmp_path)) as box:
        with pytest.raises(SandboxError, match=rf"cannot start '{argv[0]}'.*{reason}"):
            box.exec(argv, {})
        assert finish(box, ["true"])[0] == 0, "the box is still good"


def test_an_endpoint_is_served_from_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    get = (
        "import sys, urllib.request\n"
        "for url in sys.argv[1:]: print(urllib.request.urlopen(url + '/x', timeout=20).read().decode())"
    )

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.path} by {self.server.server_name}".encode())  # type: ignore[attr-defined]  # HTTPServer

        def log_message(self, *_: object) -> None:
            pass

    with sandbox.open(request(tmp_path, endpoints=("model", "tools"))) as box:
        threads = []
        for name, endpoint in box.endpoints.items():
            server = HTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
            server.socket.close()
            server.socket, server.server_name = endpoint.listener, name
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            threads.append(thread)
        urls = [box.endpoints[name].url for name in ("model", "tools")]
        code, output = finish(box, [PYTHON.inside, "-I", "-c", get, *urls])
        for thread in threads:
            thread.join(END_S)
    assert (code, output) == (0, "/x by model\n/x by tools\n"), (tmp_path / "stderr").read_text()


def test_mounts_can_be_read(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "page").write_text("words")
    with sandbox.open(request(tmp_path, mounts={"renders": tmp_path / "given"})) as box:
        assert finish(box, ["cat", f"{box.mounts['renders']}/page"]) == (0, "words")


def test_the_interpreter_has_its_packages_under_its_own_name(sandbox: Sandbox, tmp_path: Path) -> None:
    look = "import sys, msgspec, numpy; print(sys.prefix)"
    for name in ("python", sandbox.python.inside):
        with sandbox.open(request(tmp_path, readable=sandbox.python.readable)) as box:
            assert finish(box, [name, "-c", look]) == (0, f"{sys.prefix}\n"), (tmp_path / "stderr").read_text()


def test_a_box_reports_the_resources_it_uses(sandbox: Sandbox, tmp_path: Path) -> None:
    write = "head -c 1000000 /dev/zero > file; head -c 1000000 /dev/zero > ~/file"
    with sandbox.open(request(tmp_path)) as box:
        assert box.resources().processes <= 1, "before the command, only an init may run"
    with sandbox.open(request(tmp_path)) as box:
        box.exec(["sh", "-c", f"{write}; sleep 1000 & sleep 1000 & echo up; wait"], {})
        assert box.stdout.read(3) == b"up\n"
        used = box.resources()
        assert used.processes >= 3
        assert used.memory_bytes > 500_000
        assert used.disk_bytes >= 2_000_000


def test_only_granted_descriptors_reach_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    listing = python("import os; print([fd for fd in range(3, 256) if os.path.exists(f'/proc/self/fd/{fd}')])")
    with sandbox.open(request(tmp_path, endpoints=("model",))) as box:
        assert finish(box, listing) == (0, "[]\n")


def test_a_run_returns_only_its_own_output(sandbox: Sandbox, tmp_path: Path) -> None:
    dirs = SandboxDirs(sandbox, CaseFolder(tmp_path / "dirs"))
    first = dirs.run(["sh", "-c", "echo one; echo trouble >&2; exit 3"])
    second = dirs.run(["sh", "-c", "echo two; echo more >&2"])
    assert (first.exit_code, first.stdout, first.stderr) == (3, b"one\n", b"trouble\n")
    assert (second.exit_code, second.stdout, second.stderr) == (0, b"two\n", b"more\n")
    assert dirs.stderr.read_bytes() == b"trouble\nmore\n"


def test_a_run_finds_the_sandboxs_python(sandbox: Sandbox, tmp_path: Path) -> None:
    dirs = SandboxDirs(sandbox, CaseFolder(tmp_path / "dirs"))
    assert dirs.run([sandbox.python.inside, "-c", "import numpy; print('found')"]).stdout == b"found\n"


def test_a_run_that_takes_too_long_is_killed(sandbox: Sandbox, tmp_path: Path) -> None:
    token = f"token-{secrets.token_hex(8)}"
    hangs = ["sh", "-c", f"exec >&-; : {token}; while :; do sleep 1000; done"]
    with pytest.raises(TimeoutError, match=r"^sh did not end within 0\.2 s$"):
        SandboxDirs(sandbox, CaseFolder(tmp_path / "dirs")).run(hangs, timeout_s=0.2)
    assert processes_with(token) == []


def test_a_dead_init_is_an_ending_and_not_an_error(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        box.exec(["sleep", "1000"], {})
        os.kill(box.pid, signal.SIGKILL)
        assert box.wait(END_S) == -signal.SIGKILL
        assert box.close().exit_code == -signal.SIGKILL


def test_a_sealed_box_takes_one_command(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        finish(box, ["true"])
        with pytest.raises(SandboxError, match="has already run its command\nopen another box"):
            box.exec(["true"], {})


def test_the_error_for_a_long_command_line_says_what_to_do(tmp_path: Path) -> None:
    with (
        bubblewrap().open(request(tmp_path)) as box,
        pytest.raises(SandboxError, match="too long\npass long texts by standard input"),
    ):
        box.exec(["echo", *["x" * 1000] * 3000], {})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"mounts": {"workspace": Path("/usr")}}, "cannot be called 'workspace'"),
        ({"mounts": {"../up": Path("/usr")}}, "cannot be called '../up'"),
        ({"mounts": {"gone": Path("/no/such/place")}}, "cannot show /no/such/place inside: No such file"),
        ({"readable": (Path("/no/such/place"),)}, "cannot show /no/such/place inside: No such file"),
        ({"readable": (Path("/"),)}, "/ cannot be shown"),
        ({"readable": (Path("relative"),)}, "relative cannot be shown"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(tmp_path: Path, parts: dict[str, object], message: str) -> None:
    with pytest.raises(SandboxError, match=message) as refusal:
        bubblewrap().open(request(tmp_path, **parts))
    assert "\n" in str(refusal.value), "the remedy is on a second line"


def test_a_workspace_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "workspace").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="is a symbolic link"):
        bubblewrap().open(request(tmp_path))


@pytest.mark.parametrize("shape", ["is a link", "lies behind a link"])
def test_readable_paths_may_be_links(tmp_path: Path, shape: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("words")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "deep").symlink_to(tmp_path / "link")
    shown = tmp_path / "deep" if shape == "is a link" else tmp_path / "deep" / "file"
    file = tmp_path / "deep" / "file"
    with bubblewrap().open(request(tmp_path, readable=(shown,))) as box:
        assert finish(box, ["cat", str(file)]) == (0, "words")


def test_a_second_box_has_the_workspace_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "workspace" / "deep").mkdir(parents=True, mode=0o700)
    (tmp_path / "workspace" / "deep" / "given").write_text("given")
    (tmp_path / "outside").touch()
    (tmp_path / "workspace" / "out").symlink_to(tmp_path / "outside")
    with bubblewrap().open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", "cat deep/given && echo first > deep/made && rm deep/given"]) == (0, "given")
    with bubblewrap().open(request(tmp_path)) as box:
        assert finish(box, ["cat", "deep/made"]) == (0, "first\n")
    assert (tmp_path / "outside").stat().st_uid == os.geteuid(), "changing the workspace's owner follows no link"


def test_a_second_box_can_enter_the_folders_that_the_first_has_closed(tmp_path: Path) -> None:
    with bubblewrap().open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", "touch made; chmod 0 . $HOME"]) == (0, "")
    with bubblewrap().open(request(tmp_path)) as box:
        assert finish(box, ["sh", "-c", "ls; touch $HOME/file"]) == (0, "made\n")


def test_an_endpoint_ends_with_its_box(tmp_path: Path) -> None:
    with make_sandbox(SandboxConf("test", "none")).open(request(tmp_path, endpoints=("model",))) as box:
        host, port = box.endpoints["model"].listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(host, port).connect()
