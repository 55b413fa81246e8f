"""The versions of a submission: how they are kept while an agent works, and how `--history` grades them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from textwrap import indent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.registry import own_names
from harness.case_folder import CaseFolder
from harness.evaluation import versions
from harness.evaluation.repository import BrokenRepository, Repository
from harness.evaluation.submission import collect
from harness.evaluation.versions import Spent, VersionKeeper, read_versions
from harness.page.details import Pictures, details
from harness.temporary import temporary_folder
from tests.support.project import Project

NAMES = st.lists(st.from_regex(r"[a-z_.é]{1,6}", fullmatch=True), min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=30), min_size=1, max_size=5).filter(
    lambda files: not any(other.startswith(f"{name}/") for name in files for other in files)
)
GOOD = (Path(__file__).parents[1] / "security/good_policy.py").read_text()
WRONG = "class GeneratedApproach:\n    pass\n"


def spent(turns: int) -> Spent:
    return Spent(turns=turns, tokens=10 * turns, cost_usd=None)


class TestRepository:
    """The git repository that the harness writes by itself."""

    @settings(max_examples=15)
    @given(st.lists(FILES, min_size=1, max_size=3))
    def test_every_version_comes_back_as_it_was(self, kept: list[dict[str, bytes]]) -> None:
        with temporary_folder("test") as folder:
            repository = Repository(folder / "versions.git")
            commits = [repository.commit(files, f"Turn {n}", 0) for n, files in enumerate(kept)]
            assert [Repository(folder / "versions.git").files(commit) for commit in commits] == kept

    def test_git_reads_it(self, tmp_path: Path) -> None:
        repository = Repository(tmp_path / "versions.git")
        long = b"".join(b"line %d\n" % n for n in range(30_000))
        repository.commit({"approach.py": b"x = 1\n", "a.b/c.py": b"", "a/c.py": long}, "Turn 1", 0)
        repository.commit({"approach.py": b"x = 2\n"}, "Turn 2", 60)
        git = ("git", "-C", str(repository.folder))
        subprocess.run([*git, "fsck", "--strict"], check=True, capture_output=True)
        shown = subprocess.run([*git, "log", "--format=%s", "-p"], check=True, capture_output=True, text=True).stdout
        assert "-x = 1\n+x = 2" in shown

    def test_contents_are_kept_in_clear_so_that_secrets_are_found(self, tmp_path: Path) -> None:
        content = b"".join(b"a line, and its number is %d\n" % n for n in range(9_000))
        Repository(tmp_path).commit({"approach.py": content}, "Turn 1", 0)
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert all(line in kept for line in content.splitlines())

    def test_an_object_that_was_changed_is_not_used(self, tmp_path: Path) -> None:
        repository = Repository(tmp_path)
        commit = repository.commit({"approach.py": b"x = 1\n"}, "Turn 1", 0)
        tree_or_blob = next(p for p in (tmp_path / "objects").rglob("*") if p.is_file() and p.name != commit[2:])
        tree_or_blob.write_bytes(b"x")
        with pytest.raises(BrokenRepository, match="cannot be read"):
            repository.files(commit)


class TestVersions:
    """What is kept of a workspace."""

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Path:
        folder = tmp_path / "workspace"
        folder.mkdir()
        return folder

    @pytest.fixture
    def folder(self, tmp_path: Path) -> CaseFolder:
        return CaseFolder(tmp_path)

    def test_only_a_submission_that_differs_is_a_version(self, workspace: Path, folder: CaseFolder) -> None:
        kept = VersionKeeper(folder)
        kept.look(workspace, spent(0), last=True)
        for turn, text in enumerate(("x = 1", "x = 1", "x = 2"), 1):
            (workspace / "approach.py").write_text(text)
            kept.look(workspace, spent(turn), last=True)
        (workspace / ".hidden").write_text("x")
        kept.look(workspace, spent(4), last=True)
        found = read_versions(folder.versions)
        assert [(one.turns, one.tokens) for one in found] == [(1, 10), (3, 30)]
        assert Repository(folder.repository).files(found[1].commit) == {"approach.py": b"x = 2"}
        collected = collect(workspace, folder.path / "copy")
        assert found[1].digest == collected.digest

    def test_nothing_of_the_agent_is_followed_or_read(self, workspace: Path, folder: CaseFolder) -> None:
        (workspace / "approach.py").symlink_to("/etc/passwd")
        kept = VersionKeeper(folder)
        kept.look(workspace, spent(1), last=True)
        kept.look(workspace / "missing", spent(2), last=True)
        assert read_versions(folder.versions) == []
        assert kept.fault is None

    def test_the_number_of_versions_is_bounded(
        self, workspace: Path, folder: CaseFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(versions, "MOST_VERSIONS", 2)
        kept = VersionKeeper(folder)
        for turn in range(4):
            (workspace / "approach.py").write_text(f"x = {turn}")
            kept.look(workspace, spent(turn), last=True)
        assert len(read_versions(folder.versions)) == 2
        assert kept.fault is not None
        assert "at most 2 versions" in kept.fault

    def test_a_disk_that_fails_costs_only_the_versions(self, workspace: Path, folder: CaseFolder) -> None:
        folder.repository.write_text("in the way")
        (workspace / "approach.py").write_text("x = 1")
        kept = VersionKeeper(folder)
        kept.look(workspace, spent(1), last=True)
        assert kept.fault is not None


def writing(*sources: str) -> str:
    turns = (
        f"  - calls:\n      - write: approach.py\n        content: |\n{indent(source, ' ' * 10)}\n"
        for source in sources
    )
    return "".join(turns)


@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=() if name == "claude" else pytest.mark.nightly) for name in own_names()]
)
def test_the_solve_rate_of_each_version_is_in_the_record(tmp_path: Path, backend: str) -> None:
    project = Project(tmp_path)
    remove = "  - calls: [{run: rm approach.py}]\n"  # some CLIs only write files that do not exist yet
    project.write("conf/scripts/small_maze.yaml", f"turns:\n{writing(WRONG)}{remove}{writing(GOOD)}")
    done = project.pytest("--history", "--suite=smoke", f"--backend={backend}", "--set=evaluation.episodes=3")
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = project.records.values()
    assert [(point.turns, point.solve_rate, point.episodes) for point in record.history] == [(1, 0, 3), (3, 1, 3)]
    assert record.submission is not None
    assert record.usage.metered is not None
    first, last = record.history
    assert last.digest == record.submission["digest"]
    assert 0 < first.tokens < last.tokens < (record.usage.metered.input_tokens or 0) + 10_000
    assert first.seconds < last.seconds
    shown = details(record, project.folder / "runs/latest", Pictures(0))
    assert [point["solve_rate"] for point in shown["record"]["history"]] == [0, 1]
