"""Taking a submission out of the agent's directory: what is copied, what is left out, and how that is reported."""

import os
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.evaluation.submission import Caps, Submission, collect


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "approach.py").write_text("import helper\n")
    (workspace / "helper").mkdir()
    (workspace / "helper" / "__init__.py").write_text("A = 1\n")
    return workspace


def left_out(submission: Submission) -> str:
    return "\n".join(submission.left_out)


def test_the_regular_files_are_copied_with_their_names_and_nothing_else(workspace: Path, tmp_path: Path) -> None:
    submission = collect(workspace, tmp_path / "out")
    assert submission.reason is None
    assert sorted(submission.files) == ["approach.py", "helper/__init__.py"]
    assert (submission.path / "helper" / "__init__.py").read_text() == "A = 1\n"
    assert submission.left_out == ()


def test_copies_are_readable_whatever_the_modes_of_the_originals(workspace: Path, tmp_path: Path) -> None:
    (workspace / "approach.py").chmod(0o4755)
    (workspace / "helper").chmod(0o700)
    old = os.umask(0o077)
    try:
        path = collect(workspace, tmp_path / "out").path
    finally:
        os.umask(old)
    assert (path / "approach.py").stat().st_mode & 0o7777 == 0o644
    assert (path / "helper").stat().st_mode & 0o7777 == 0o755


names = st.from_regex(r"[a-z]{1,8}\.(py|json)", fullmatch=True)


@settings(deadline=None, max_examples=30)  # each example writes files, and a disk may be slow
@given(files=st.dictionaries(names, st.binary(max_size=50), max_size=5), other=st.binary(max_size=50))
def test_the_digest_covers_names_and_contents_and_nothing_else(
    files: dict[str, bytes], other: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def digest_of(files: dict[str, bytes]) -> str:
        top = tmp_path_factory.mktemp("digest")
        (top / "in").mkdir()
        for name, content in files.items():
            (top / "in" / name).write_bytes(content)
        return collect(top / "in", top / "out").digest

    files = {**files, "approach.py": b""}
    assert digest_of(files) == digest_of(dict(reversed(files.items())))
    assert (digest_of({**files, "approach.py": other}) == digest_of(files)) == (other == b"")
    assert digest_of({**files, "zz.txt": other}) != digest_of(files)


def test_a_missing_approach_is_reported(workspace: Path, tmp_path: Path) -> None:
    (workspace / "approach.py").unlink()
    submission = collect(workspace, tmp_path / "out")
    assert submission.reason == "no submission: approach.py is missing"
    assert submission.files == {}


def test_an_approach_that_is_not_a_regular_file_is_refused(workspace: Path, tmp_path: Path) -> None:
    approach = workspace / "approach.py"
    approach.unlink()

    approach.symlink_to("/etc/passwd")
    assert collect(workspace, tmp_path / "1").reason == "no submission: approach.py is a symlink"
    approach.unlink()
    os.mkfifo(approach)
    assert collect(workspace, tmp_path / "2").reason == "no submission: approach.py is a FIFO"
    approach.unlink()
    approach.mkdir()
    assert collect(workspace, tmp_path / "3").reason == "no submission: approach.py is a folder"
    approach.rmdir()
    with socket.socket(socket.AF_UNIX) as door:
        folder = os.open(workspace, os.O_RDONLY)
        door.bind(f"/proc/self/fd/{folder}/approach.py")  # the absolute path may be too long for a socket's name
        os.close(folder)
        assert collect(workspace, tmp_path / "4").reason == "no submission: approach.py is a socket"


def test_an_approach_of_a_gigabyte_is_refused_without_being_read(workspace: Path, tmp_path: Path) -> None:
    os.truncate(workspace / "approach.py", 10**9)
    reason = collect(workspace, tmp_path / "out").reason
    assert reason == "no submission: approach.py is 1 GB, over the cap of 8 MB"


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device node needs root")
def test_a_device_is_refused_without_being_opened(workspace: Path, tmp_path: Path) -> None:
    (workspace / "approach.py").unlink()
    os.mknod(workspace / "approach.py", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    assert collect(workspace, tmp_path / "out").reason == "no submission: approach.py is a device"


def test_other_entries_are_left_out_and_named(workspace: Path, tmp_path: Path) -> None:
    (workspace / "link.py").symlink_to("/etc/passwd")
    (workspace / "up").symlink_to("..")
    os.mkfifo(workspace / "pipe")
    (workspace / "big.bin").write_bytes(b"")
    os.truncate(workspace / "big.bin", 9_000_000)
    for name in (".git", "__pycache__", "node_modules"):
        (workspace / name).mkdir()
        (workspace / name / "x.py").write_text("")
    (workspace / "bell\x07\x1b[2J.py").write_text("")
    (workspace / os.fsdecode(b"bad\xff.py")).write_text("")

    submission = collect(workspace, tmp_path / "out")

    assert sorted(submission.files) == ["approach.py", "helper/__init__.py"]
    assert sorted(path.name for path in submission.path.rglob("*.py")) == ["__init__.py", "approach.py"]
    said = left_out(submission)
    assert "link.py is a symlink" in said
    assert "up is a symlink" in said
    assert "pipe is a FIFO" in said
    assert "big.bin is 9 MB, over the cap of 8 MB" in said
    assert ".git is a hidden folder or a cache" in said
    assert said.count("hidden folder or a cache") == 3
    assert said.count("unprintable characters in its name") == 2
    assert said.replace("\n", "").isprintable()


TRAPS = [
    ".git", ".envrc", ".vscode/tasks.json", ".hg/hgrc", "conftest.py", "helper/conftest.py", "CONFTEST.PY",
    "pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml", "sitecustomize.py",
    "usercustomize/__init__.py", "sitecustomize.cpython-311-x86_64-linux-gnu.so", "x.pth",
    "evil.dist-info/entry_points.txt", "Makefile", "GNUmakefile", "justfile", "Taskfile.yml", "package.json",
    "noxfile.py", "tasks.py", "dodo.py", "setup.py", "test_x.py", "x_test.py", "Gemfile", "Dockerfile",
    "docker-compose.yml", "shell.nix", "build.ninja", "CMakeLists.txt", "jupyter_server_config.py", "repo/HEAD",
    "mypy.ini", "pylintrc", "opencode.json", "HEAD",
    "magefile.go", "Directory.Build.props", "docker-bake.hcl", "gunicorn.conf.py", "wsgi.py", "vite.config.mts",
    "karma.conf.js", "gems.rb", "pyproject.toml.", "\uff53etup.py", "tsconfig.json", "cdk.json", "go.work", "_vimrc",
]  # fmt: skip
KEPT = [
    "data.json", "q.npy", "notes.txt", "table.csv", "weights.bin", "profile.json", "logfile.txt", "head.py",
    "build/x.py", "config.yaml", "test/x.py", "requirements.txt", "package.py", "task.py", "CLAUDE.md",
    "setup.json", "LICENSE", "model", "file",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_what_a_program_runs_by_itself_is_left_out_and_named(workspace: Path, tmp_path: Path, name: str) -> None:
    plain = collect(workspace, tmp_path / "plain")
    (workspace / name).parent.mkdir(exist_ok=True)
    (workspace / name).write_text("")
    submission = collect(workspace, tmp_path / "out")
    assert (submission.files, submission.digest) == (plain.files, plain.digest)
    assert len(submission.left_out) == 1
    assert re.fullmatch(
        r".+ (has a name that .+ reads or runs by itself|is a hidden (file|folder or a cache))", left_out(submission)
    )


@pytest.mark.parametrize("name", KEPT)
def test_modules_and_data_are_taken(workspace: Path, tmp_path: Path, name: str) -> None:
    (workspace / name).parent.mkdir(exist_ok=True)
    (workspace / name).write_text("")
    submission = collect(workspace, tmp_path / "out")
    assert name in submission.files
    assert submission.left_out == ()


@pytest.mark.parametrize("where", [".", "any/name"])
@pytest.mark.parametrize("kind", ["bare", "worktree"])
def test_a_git_directory_is_left_out_whatever_it_is_called(
    workspace: Path, tmp_path: Path, where: str, kind: str
) -> None:
    top = workspace / where
    top.mkdir(parents=True, exist_ok=True)
    for folder in ("objects", "refs") if kind == "bare" else ():
        (top / folder).mkdir()
        (top / folder / "x").write_text("")
    (top / "HEAD").write_text("ref: refs/heads/main\n")
    (top / "config").write_text("[core]\n\tfsmonitor = touch pwned\n")
    (top / "commondir").write_text(".")
    path = collect(workspace, tmp_path / "out").path
    git = shutil.which("git") or "git"
    done = subprocess.run([git, "rev-parse", "--git-dir"], cwd=path, capture_output=True, text=True, check=False)
    assert str(path) not in done.stdout
    assert done.stdout.strip() != "."
    assert not any(found.name in {"HEAD", "name"} for found in path.rglob("*"))


def test_files_below_a_linked_folder_are_not_reached(workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.py").write_text("KEY = 1")
    (workspace / "package").symlink_to(secret)
    assert "key.py" not in "".join(collect(workspace, tmp_path / "out").files)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to another owner needs root")
def test_a_hard_link_to_a_file_of_another_owner_is_left_out(workspace: Path, tmp_path: Path) -> None:
    foreign, own = tmp_path / "foreign.py", tmp_path / "own.py"
    for file in (foreign, own):
        file.write_text("KEY = 1")
    os.chown(foreign, 12345, 12345)
    (workspace / "foreign.py").hardlink_to(foreign)
    (workspace / "own.py").hardlink_to(own)
    submission = collect(workspace, tmp_path / "out")
    assert "own.py" in submission.files
    assert submission.left_out == ("foreign.py is a hard link to a file of another owner",)


def test_files_bytes_depth_and_entries_are_capped(workspace: Path, tmp_path: Path) -> None:
    for index in range(10):
        (workspace / f"m{index}.py").write_bytes(b"x" * 10)
    deep = workspace / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "x.py").write_text("")

    few = collect(workspace, tmp_path / "1", Caps(files=3))
    assert len(few.files) == 3
    assert "approach.py" in few.files
    assert "m9.py is over the cap of 3 files" in left_out(few)

    light = collect(workspace, tmp_path / "2", Caps(total_bytes=40))
    assert sum(file.stat().st_size for file in light.path.rglob("*.py")) <= 40
    assert "would bring the total over the cap of 40 bytes" in left_out(light)

    flat = collect(workspace, tmp_path / "3", Caps(depth=2))
    assert "a/b/c is nested more than 2 folders deep" in left_out(flat)

    short = collect(workspace, tmp_path / "4", Caps(entries=4))
    assert "has more entries: the cap is 4 entries in all" in left_out(short)
    assert short.reason is None

    terse = collect(workspace, tmp_path / "5", Caps(files=1, left_out=2))
    assert len(terse.left_out) == 3
    assert terse.left_out[-1] == "… and 10 more"


def test_a_folder_of_the_workspace_can_be_submitted(workspace: Path, tmp_path: Path) -> None:
    (workspace / "helper" / "approach.py").write_text("")
    submission = collect(workspace, tmp_path / "out", folder="./helper")
    assert sorted(submission.files) == ["__init__.py", "approach.py"]


@pytest.mark.parametrize(
    "folder", ["..", "/etc", "helper/../..", "away", "nowhere", "approach.py", "nul\0", "x" * 300, "a/" * 9]
)
def test_a_folder_elsewhere_is_refused(workspace: Path, tmp_path: Path, folder: str) -> None:
    (workspace / "away").symlink_to(tmp_path)
    (tmp_path / "approach.py").write_text("SECRET = 1")
    submission = collect(workspace, tmp_path / "out", folder=folder)
    assert submission.reason is not None
    assert submission.reason.startswith("no submission: ")
    assert submission.reason.isprintable()
    assert list(submission.path.iterdir()) == []


def test_a_workspace_that_is_gone_is_reported(tmp_path: Path) -> None:
    assert collect(tmp_path / "gone", tmp_path / "out").reason == "no submission: the workspace is missing"


def test_the_destination_must_be_new_and_outside(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose a folder outside"):
        collect(workspace, workspace / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.py").write_text("")
    with pytest.raises(ValueError, match="is not empty"):
        collect(workspace, tmp_path / "out")
