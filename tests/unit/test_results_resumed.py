"""What a run keeps when it is resumed: who writes it, what is left to run, what is set aside, and the sums."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.case_folder import CaseFolder
from harness.endings import Ending
from harness.node_ids import without_group
from harness.results.aside import is_aside, set_aside
from harness.results.begun import differences
from harness.results.claims import RUNNING, RunBusyError, RunWriterProcess, busy, claim, release
from harness.results.drafts import write_draft
from harness.results.earlier import earlier_sessions
from harness.results.progress import unfinished
from harness.results.record import RERUN, Attempt, CaseUsage, Record, UsageTotals
from harness.results.store import RunStore, finish_killed, read
from harness.results.usage import added, own_usage
from tests.support.runs import record

NAME = "claude-qwen-maze-r1"


def session(**changes: object) -> Record:
    return record("claude", "maze", 1, solved=20, **changes)


def used(turns: int, cost_usd: float | None = 0.5) -> CaseUsage:
    return CaseUsage(metered=UsageTotals(turns=turns, requests=turns, cost_usd=cost_usd))


def attempt(usage: CaseUsage) -> Attempt:
    ending = Ending.MODEL_ERROR
    return Attempt(ending=ending, cause="model", explanation="", exit_code=1, seconds=1.0, kill_s=0.0, usage=usage)  # type: ignore[arg-type]


class TestClaims:
    """One process writes a run."""

    @contextmanager
    def _without_locks(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def refuse(*_: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "no locks here")

        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", refuse)
            yield

    def test_a_run_that_is_written_names_its_process_until_it_ends(self, tmp_path: Path) -> None:
        assert busy(tmp_path) is None
        descriptor = claim(tmp_path)
        assert f"is being written by process {os.getpid()} on " in (busy(tmp_path) or "")
        with pytest.raises(RunBusyError, match=f"process {os.getpid()} on "):
            claim(tmp_path)
        release(tmp_path, descriptor)
        assert busy(tmp_path) is None
        assert list(tmp_path.iterdir()) == []

    def test_a_killed_process_does_not_hold_its_run(self, tmp_path: Path) -> None:
        os.close(claim(tmp_path))  # as its end does
        assert (tmp_path / RUNNING).exists()
        assert busy(tmp_path) is None
        release(tmp_path, claim(tmp_path))

    def test_without_locks_the_file_tells_a_living_process_from_one_that_has_its_number(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / RUNNING
        os.close(claim(tmp_path))
        mine = msgspec.json.decode(file.read_bytes(), type=RunWriterProcess)
        parent = replace(mine, pid=os.getppid(), started=_started(os.getppid()))
        with self._without_locks(monkeypatch):
            for dead in (
                replace(parent, started=parent.started + 1),
                replace(parent, boot="another start"),
                replace(parent, pid=2**22),
            ):
                file.write_bytes(msgspec.json.encode(dead))
                assert busy(tmp_path) is None
            file.write_bytes(msgspec.json.encode(parent))
            with pytest.raises(RunBusyError, match=f"process {parent.pid} on {mine.host}, which began at "):
                claim(tmp_path)
            file.write_bytes(msgspec.json.encode(replace(parent, host="elsewhere", started=1)))
            assert f"on elsewhere, which began at {mine.since}; if it has ended there, remove {file}" in str(
                busy(tmp_path)
            )


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


tests = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("XYZ"), min_size=1)
kinds = st.sampled_from(["passed", "failed", "skipped", "error", RERUN])


@given(
    tests, st.lists(st.tuples(st.sampled_from("XYZ"), st.dictionaries(st.sampled_from("abcdefgh"), kinds))), st.data()
)
def test_a_session_runs_again_as_a_whole_or_not_at_all(
    planned: dict[str, str], done: list[tuple[str, dict[str, str]]], data: st.DataObject
) -> None:
    keep_errors = data.draw(st.booleans())
    lines = [session(session=name) for name, _ in done]
    found = [
        replace(one, tests=told, try_number=n) for n, (one, (_, told)) in enumerate(zip(lines, done, strict=True), 1)
    ]
    left = unfinished(planned, found, keep_errors=keep_errors)
    assert left.items() <= planned.items()
    stopped = {name for name, told in dict(done).items() if not told}  # in its last try
    last = {(name, test): outcome for name, told in done if name not in stopped for test, outcome in told.items()}
    good = {"passed", "failed", "skipped"} | ({"error"} if keep_errors else set())
    for name in {*planned.values()}:
        whole = [test for test, owner in planned.items() if owner == name]
        assert all(test in left for test in whole) or not any(test in left for test in whole)
        assert (whole[0] in left) == any(last.get((name, test)) not in good for test in whole)


def test_names_of_folders_that_were_set_aside_are_no_sessions(tmp_path: Path) -> None:
    for killed, name in ((True, "a.killed"), (True, "a.earlier-1"), (False, "a.earlier-2")):
        (tmp_path / "a").mkdir()
        assert set_aside(tmp_path / "a", killed=killed).name == name
        assert is_aside(name)
    assert not any(map(is_aside, ("a", "a.2", "a.earlier-", "a.earlier-x", "killed")))


class TestStore:
    """The folder of a run that goes on."""

    def test_a_line_that_a_crash_cut_short_does_not_spoil_the_next_one(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "run")
        store.begin(["a", "b"])
        store.append(session(session="a", artifacts=None))
        with store.results.open("ab") as file:
            file.write(b'{"case": {"id": "cut sh')
        write_draft(CaseFolder(store.run / "b"), session(session="b", explanation="it was killed"))
        os.close(store._claimed or 0)
        finish_killed(tmp_path, {})
        assert [one.session for one in read(store.results)] == ["a", "b"]

    def test_only_the_sessions_that_run_now_are_set_aside_with_their_records(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        store = RunStore(run)
        store.begin(["a", "a.2", "b", "c"])
        for name in ("a", "b"):
            (run / name).mkdir()
            store.append(session(session=name, artifacts=name, outcome="error"))
        write_draft(CaseFolder(run / "c"), session(session="c", usage=used(2)))
        (run / "a.2").mkdir()
        store.end()
        again = RunStore(run)
        again.resume({"a", "a.2", "c"})
        assert {one.session: one.artifacts for one in again.records} == {
            "a": "a.earlier-1",
            "b": "b",
            "c": "c.earlier-1",
        }
        assert {path.name for path in run.iterdir() if path.is_dir()} == {
            *("a.earlier-1", "a.2.earlier-1", "b", "c.earlier-1")
        }
        (run / "a").mkdir()
        again.append(session(session="a", artifacts="a"))
        again.end()
        assert [(one.session, one.artifacts) for one in read(store.results)] == [
            ("a", "a"),
            ("b", "b"),
            ("c", "c.earlier-1"),
        ]

    def test_a_try_that_a_plugin_asked_for_is_repeated_and_the_try_before_it_stays(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        store = RunStore(run)
        store.begin(["a"])
        (run / "a").mkdir()
        store.append(session(session="a", artifacts="a", outcome="failed", tests={"test[a]": RERUN}))
        store.end()
        again = RunStore(run)
        again.resume({"a"})
        assert [one.artifacts for one in again.records] == ["a"], "the next try is to run"
        write_draft(CaseFolder(run / "a.2"), session(session="a", try_number=2, outcome="error", tests={}))
        again.end()
        again = RunStore(run)
        again.resume({"a"})
        assert [(one.try_number, one.artifacts) for one in again.records] == [(1, "a"), (2, "a.2.earlier-1")]
        again.end()

    def test_a_kill_between_setting_aside_and_recording_it_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        store = RunStore(run)
        store.begin(["a"])
        (run / "a").mkdir()
        store.append(session(session="a", artifacts="a", started_at="2026-01-01", outcome="error"))
        store.end()
        set_aside(run / "a")
        again = RunStore(run)
        again.resume({"a"})
        assert [one.artifacts for one in again.records] == ["a.earlier-1"]
        assert len(earlier_sessions(CaseFolder(run / "a"))) == 1


def test_the_sums_have_all_sessions_and_a_comparison_only_the_last(tmp_path: Path) -> None:
    folder = CaseFolder(tmp_path / "a")
    for turns in (1, 2):
        write_draft(folder, session(usage=used(turns), attempts=[attempt(used(turns))], started_at=f"2026-0{turns}"))
        set_aside(folder.path)
    found = earlier_sessions(folder)
    assert [(one.artifacts, one.usage) for one in found] == [("a.earlier-1", used(1)), ("a.earlier-2", used(2))]
    last = session(attempts=[attempt(used(4))], earlier=found, usage=added([used(4), *(one.usage for one in found)]))
    assert last.usage == used(7, 1.5)
    assert own_usage(last) == used(4)
    assert own_usage(replace(last, earlier=[])) == last.usage, "older records and most others have no earlier session"


def test_a_sum_is_unknown_if_a_session_was_killed_before_it_could_report() -> None:
    told = CaseUsage(reported=UsageTotals(turns=1), metered=UsageTotals(turns=1))
    assert added([told, told]).reported == UsageTotals(turns=2)
    assert added([told, used(0)]).reported == UsageTotals(turns=1), "it used nothing"
    assert added([told, used(1)]).reported is None


values = st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 2) | st.lists(st.text(max_size=2)))


@given(values, values)
def test_each_difference_is_named_with_both_values(then: dict[str, object], now: dict[str, object]) -> None:
    found = differences(then, now)
    assert (found == []) == (then == now)
    assert {line.partition(":")[0] for line in found} == {
        key for key in {*then, *now} if (key in then, then.get(key)) != (key in now, now.get(key))
    }


@pytest.mark.parametrize(
    "test", ["test_x.py::test[a]", "test_x.py::test[a]@b]", "test_x.py::test", "test_x.py::test[a@b]"]
)
def test_the_group_of_a_test_is_no_part_of_its_name(test: str) -> None:
    assert without_group(test) == test
    assert without_group(f"{test}@gpu") == (test if test.endswith("]") else f"{test}@gpu")
