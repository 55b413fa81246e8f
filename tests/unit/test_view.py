"""`proctor view`: the page over all runs while they go on, for readers on this machine who know the token."""

from __future__ import annotations

import os
import re
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.case_folder import CaseFolder
from harness.commands.main import main
from harness.endings import Cause, Ending
from harness.gateway.ledger import LedgerEntry
from harness.gateway.messages import TokenCounts
from harness.results.claims import claim, release
from harness.results.drafts import write_draft
from harness.results.record import Attempt, CaseUsage, UsageTotals
from harness.results.store import read
from harness.servers.journal import Event, JournalEntry
from harness.viewer.choice import chosen
from harness.viewer.growing import GrowingFile
from harness.viewer.run import FollowedRun
from harness.viewer.running import FollowedCase, speed
from tests.support.fake_gpus import FakeGpus
from tests.support.processes import gone
from tests.support.project import ROOT, Project, wait_until
from tests.support.runs import night, record, write_run
from tests.support.viewing import BELOW, Viewed, viewed, viewed_by_command

LINES = [
    msgspec.json.encode(record("claude", "maze", number, solved=number, explanation="wall \u202e")) + b"\n"
    for number in range(4)
]
NIGHT = night({("claude", "maze"): [20, 10], ("pi", "maze"): [5, None]})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with one run of four sessions."""
    write_run(tmp_path / "runs" / "20261126T010000.000Z-nightly", NIGHT)
    return tmp_path / "runs"


def test_a_running_case_is_shown_from_its_files_until_its_run_is_killed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    runs = project.folder / "runs"
    with project.stuck() as stuck, viewed_by_command(runs) as page:
        wait_until(lambda: _running(page).get("doing") == "tool", "the tool call in the stream")
        now = _running(page)
        assert now["id"] == "claude-slow-small_maze"
        assert (now["turn"], now["attempt"], now["tool"]) == (1, 1, "Bash")
        assert now["output_tokens"] > 0
        assert now["seconds"] > 0
        [run] = page.data("state")["runs"]
        assert (run["state"], run["recorded"], run["planned"]) == ("running", 1, 2)
        assert [row["id"] for row in page.rows()] == ["claude-quick-small_maze"]
        assert page.data("overview")["unrecorded"] == [], "a run that goes on has lost nothing"

        so_far = page.data(f"details/{now['key']}")
        [transcript] = so_far["transcripts"]
        calls = [part for entry in transcript["thread"]["entries"] for part in entry.get("parts", []) if "call" in part]
        assert [(call["call"], call["result"]) for call in calls] == [("Bash", None)]
        assert "sleep 1000" in calls[0]["about"]

        stuck.process.kill()
        assert gone([one.pid for one in stuck.family], within=60)
        wait_until(lambda: page.data("state")["runs"] == [], "the end of the run")
        assert page.data("state")["cases"] == []
        assert page.data("overview")["states"][0]["state"] == "killed"
        killed = page.rows()[1]
        assert (killed["key"], killed["ending"]) == (now["key"], "interrupted"), "its address is still right"
        assert page.data(f"details/{now['key']}")["transcripts"] == so_far["transcripts"]


def _running(page: Viewed) -> dict[str, Any]:
    return next(iter(page.data("state")["cases"]), {})


def test_only_a_reader_with_the_token_who_asks_for_this_machine_is_answered(runs: Path) -> None:
    with viewed(runs) as page:
        port = urlsplit(page.address).port
        home = page.ask(f"/{BELOW}/", Host=f"localhost:{port}")
        assert home.status == 200
        assert b'id="main"' in home.body
        assert "connect-src 'self'" in home.headers["content-security-policy"]
        assert home.headers["referrer-policy"] == "no-referrer"
        assert home.headers["cache-control"] == "no-store"
        assert "set-cookie" not in home.headers
        [allowed] = re.findall(r'Content-Security-Policy" content="([^"]+)"', home.body.decode())
        assert home.headers["content-security-policy"].startswith(allowed)
        key = page.rows()[0]["key"]
        below = f"/{BELOW}"
        for path in (
            *("/", "/overview", "/other/", "/other/state", below, f"{below}x/", "//", "/%74he-token/"),
            *(f"{below}/..{below}/", f"{below}//state", f"{below}/%73tate", f"{below}/state/", f"{below}/nothing"),
            *(f"{below}/../../../etc/passwd", f"{below}/%2e%2e/%2e%2e/etc/passwd", f"{below}/..%2fetc%2fpasswd"),
            *(f"{below}/details/{key}/x", f"{below}/details/{key[:-1]}", f"{below}/details/..", f"{below}/details/"),
        ):
            assert page.ask(path).status == 404, path
        for name in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "localhost@evil.example", ""):
            assert page.ask(f"/{BELOW}/overview", Host=name).status == 403, name
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            assert page.ask(f"/{BELOW}/overview", method).status == 405, method
        assert page.ask(f"/{BELOW}/details/{key}", **{"Accept-Encoding": "gzip"}).status == 200


def test_new_runs_and_records_are_followed_and_removed_runs_forgotten(runs: Path) -> None:
    with viewed(runs) as page:
        first = page.data("state")["data_version"]
        assert page.data("state")["data_version"] == first, "nothing has changed"
        assert page.data("overview")["data_version"] == first
        later = write_run(runs / "20261127T010000.000Z-other", [record("codex", "maze", 1, solved=3)])
        assert page.data("state")["data_version"] != first
        overview = page.data("overview")
        assert [run["name"] for run in overview["runs"]] == ["20261126T010000.000Z-nightly", later.name]
        assert [(state["state"], state["recorded"]) for state in overview["states"]] == [("ended", 4), ("ended", 1)]
        with (later / "results.jsonl").open("ab") as file:
            [line] = (later / "results.jsonl").read_bytes().splitlines()
            file.write(line.replace(b'"session":"codex', b'"session":"pi') + b"\n")
        assert [row["solve_rate"] for row in page.rows(later.name)] == [0.15, 0.15]
        assert [row["backend"] for row in page.rows("suite:nightly")] == ["claude", "claude", "pi", "pi"]
        assert len(page.data("overview", "all")["cells"]) == 3
        later.rename(runs / ".gone")
        assert [run["name"] for run in page.data("overview")["runs"]] == ["20261126T010000.000Z-nightly"]
        assert page.rows(later.name) == page.rows(), "an address may name a run that was removed"


def test_records_that_have_not_changed_are_not_read_again(runs: Path) -> None:
    [results] = runs.glob("2*/results.jsonl")
    with viewed(runs) as page:
        before = page.data("overview")
        status = results.stat()
        with results.open("r+b") as file:
            file.write(b"x" * (status.st_size - 1) + b"\n")
        os.utime(results, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert page.data("overview") == before
        os.utime(results)
        assert page.rows() == []
        assert "is not a record" in page.data("overview")["faults"][0]


def test_what_is_damaged_or_missing_is_said_and_the_rest_is_shown(runs: Path, tmp_path: Path) -> None:
    [run] = runs.glob("2*")
    lines = (run / "results.jsonl").read_bytes().splitlines()
    lines[0] = lines[0].replace(b'"solved":20', b'"solved":99')
    lines[1] = b"{" + b"\xff" * 9
    lines[2] = lines[2].replace(b'"schema":1', b'"schema":99')
    lines[3] = lines[3].replace(b'"artifacts":"', b'"artifacts":"../../')
    (run / "results.jsonl").write_bytes(b"\n".join(lines) + b'\n{"cut')
    (run / "verdict.json").write_text("[")
    (run / "claude-qwen-maze-r2" / "draft.json").write_text("{}")
    (run / "claude-qwen-maze-r1" / "episodes.jsonl").unlink()
    (run / "claude-qwen-maze-r1" / "episodes.jsonl").mkdir()
    (runs / "linked").symlink_to(run)
    (runs / "20261126T020000.000Z-begun").mkdir()
    (runs / "20261126T020000.000Z-begun" / "cases.json").write_text('["one"]')
    (runs / "20261126T020000.000Z-begun" / "results.jsonl").mkdir()
    for path in (run, *run.iterdir()):
        path.chmod(0o500)
    with viewed(runs) as page:
        overview = page.data("overview")
        assert [state["state"] for state in overview["states"]] == ["stopped", "stopped"]
        assert overview["all_runs"] == ["20261126T020000.000Z-begun", run.name]
        assert [row["id"] for row in page.rows()] == ["claude-qwen-maze-r1", "pi-qwen-maze-r2"]
        faults = " ".join(overview["faults"])
        assert "(lines: 2)" in faults
        assert "the draft of claude-qwen-maze-r2 cannot be read" in faults
        assert "verdict.json: not a comparison" in faults
        assert "one" in overview["unrecorded"]
        for row in page.rows():
            assert page.data(f"details/{row['key']}")["transcripts"] == []
    for path in (run, *run.iterdir()):
        path.chmod(0o700)


def test_model_servers_and_gpus_are_shown_while_their_run_goes_on(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = FakeGpus(tmp_path, count=2)
    gpus.install(monkeypatch)
    gpus.use(os.getpid(), {gpus.uuids[0]: 9_000})
    [run] = runs.glob("2*")
    events: list[tuple[Event, str]] = [("loaded", "one"), ("loaded", "two"), ("counted", "two"), ("stopped", "one")]
    entries = [
        JournalEntry(
            event=event, at="2026-11-26T10:00:00.000+00:00", key=f"ollama/{name}", server=name, gpus=("GPU-x",)
        )
        for event, name in events
    ]
    (run / "servers.jsonl").write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    with viewed(runs) as page:
        assert page.data("state")["servers"] == [], "the run is over"
        claimed = claim(run)
        try:
            state = page.data("state")
            with (run / "servers.jsonl").open("ab") as file:
                file.write(b"{cut")
            assert page.data("state")["servers"] == state["servers"]
        finally:
            release(run, claimed)
    [server] = state["servers"]
    assert (server["key"], server["event"], server["gpus"]) == ("ollama/two", "loaded", ["GPU-x"])
    assert [(gpu["name"], gpu["used_mb"], gpu["memory_mb"]) for gpu in state["gpus"]] == [
        ("Fake 4090", 9_000, 24_000),
        ("Fake 4090", 0, 24_000),
    ]


def test_what_a_running_case_does_is_told_by_its_files(tmp_path: Path) -> None:
    stream = (ROOT / "tests/corpus/claude/normal/stream.jsonl").read_bytes().splitlines(keepends=True)
    folder = CaseFolder(tmp_path / "20261126T010000.000Z-pr" / "claude-qwen-maze-r1")
    draft = record("claude", "maze", 1, solved=None, usage=CaseUsage(), started_at="2026-11-26T01:00:00.000+00:00")
    write_draft(folder, draft)
    case = FollowedCase(folder)

    def now() -> tuple[str, int, int | None, str]:
        seen = case.look()
        assert seen is not None
        assert (seen.run, seen.id) == ("20261126T010000.000Z-pr", "claude-qwen-maze-r1")
        return seen.doing, seen.attempt, seen.turn, seen.tool

    assert now() == ("starting", 1, 0, "")
    folder.stream.write_bytes(b"".join(stream[:2]) + stream[2][:40])
    assert now() == ("model", 1, 1, "")
    folder.stream.write_bytes(b"".join(stream[:3]))
    assert now() == ("tool", 1, 1, "Write")
    with folder.stream.open("ab") as file:
        file.write(b"".join(stream[3:]))
    assert now() == ("model", 1, 3, "Bash")
    failed = Attempt(
        ending=Ending.MODEL_ERROR,
        cause=Cause.MODEL,
        explanation="500",
        exit_code=1,
        seconds=1.0,
        kill_s=0.0,
        usage=CaseUsage(reported=UsageTotals(turns=3)),
    )
    write_draft(folder, msgspec.structs.replace(draft, attempts=[failed]))
    assert now() == ("waiting", 1, 3, "Bash")
    folder.attempt(1).make()
    folder.stream.rename(folder.attempt(1).stream)
    assert now() == ("starting", 2, 3, "")
    folder.stream.write_bytes(b"".join(stream[:3]))
    assert now() == ("tool", 2, 4, "Write")
    write_draft(folder, msgspec.structs.replace(draft, attempts=[failed, failed]))
    folder.submission.mkdir()
    assert now()[0] == "grading"
    folder.draft.unlink()
    assert case.look() is None


@pytest.mark.parametrize(
    ("answers", "tokens_per_s"),
    [
        ([], None),
        ([(0, 2.0, 100)], None),
        ([(995, 2.0, 100)], 50.0),
        ([(0, 2.0, 7), (980, 4.0, 100), (990, 6.0, 200), (995, 0.0, 0)], 30.0),
    ],
)
def test_the_speed_of_the_model_is_that_of_the_answers_of_the_last_minute(
    answers: list[tuple[int, float, int]], tokens_per_s: float | None
) -> None:
    ledger = [
        LedgerEntry(
            time=datetime.fromtimestamp(at, UTC).isoformat(),
            method="POST",
            path="/",
            duration_s=seconds,
            usage=TokenCounts(output_tokens=tokens),
        )
        for at, seconds, tokens in answers
    ]
    refused = LedgerEntry(time="soon", method="POST", path="/", refused="turn_limit")
    assert speed([*ledger, refused], 1000.0) == tokens_per_s


def test_a_folder_without_runs_has_a_page_and_what_cannot_be_served_is_a_plain_error(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with viewed(tmp_path / "empty") as page:
        assert page.data("overview")["runs"] == []
        assert page.data("state")["cases"] == []
        port = str(urlsplit(page.address).port)
        for arguments, said in (
            (["--runs-dir", str(tmp_path / "none")], "run some cases first"),
            (["--runs-dir", str(next(runs.glob("2*")))], "is one run"),
            (["--runs-dir", str(runs), "--port", port], f"cannot listen on port {port}"),
            (["--port", "65536"], "is not a port"),
        ):
            with pytest.raises(SystemExit, match="2"):
                main(["view", *arguments])
            assert said in capsys.readouterr().err


NAMES = [f"202611{day:02d}T010000.000Z-{'pr' if day % 3 else 'nightly'}" for day in range(1, 29)]


@pytest.mark.parametrize(
    ("choice", "runs"),
    [
        ("", NAMES[-20:]),
        ("all", NAMES),
        ("last:3", NAMES[-3:]),
        *(("last:0", NAMES[-20:]), ("last:x", NAMES[-20:]), (f"last:{'9' * 5000}", NAMES[-20:])),
        ("suite:nightly", [name for name in NAMES if name.endswith("nightly")]),
        ("suite:other", []),
        (NAMES[4], [NAMES[4]]),
        ("../../etc", NAMES[-20:]),
    ],
)
def test_a_reader_chooses_runs(choice: str, runs: list[str]) -> None:
    assert chosen(NAMES, choice) == runs


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=40)), max_size=8), st.integers(1, 50))
def test_a_growing_file_is_read_once_and_from_its_start_when_it_is_another_one(
    steps: list[tuple[bool, bytes]], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        file, found, whole = GrowingFile(path), b"", b""
        for replaced, data in steps:
            if replaced:
                Path(folder, "new").write_bytes(data)
                Path(folder, "new").replace(path)
                whole, found = data, b""
            else:
                with path.open("ab") as out:
                    out.write(data)
                whole += data
            assert file.is_new() == (replaced or whole == data)
            while chunk := file.read(most):
                found += chunk
            assert found == whole
        path.unlink(missing_ok=True)
        assert file.read(most) == b""


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6), st.lists(st.floats(0, 1), max_size=3))
def test_however_the_lines_of_a_run_arrive_its_records_are_those_of_the_file(
    lines: list[bytes], cuts: list[float]
) -> None:
    whole = b"".join(lines)
    places = [0, *sorted(int(cut * len(whole)) for cut in cuts), len(whole)]
    with tempfile.TemporaryDirectory() as folder:
        results, run = Path(folder, "results.jsonl"), FollowedRun(Path(folder))
        for begin, end in pairwise(places):
            with results.open("ab") as file:
                file.write(whole[begin:end])
            run.update()
        known = read(results)
        assert [one.row.id for one in run.records] == [one.case.id for one in known]
        assert [run.record(one.row.key) for one in run.records] == known
