"""The history reads any bytes, and says the same as the records: expected durations, and the statistics of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import median

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Case
from harness.results.entries import entries_of, read_entries
from harness.results.history import IndexedRun, PastRun, refresh
from harness.results.run_folder import RESULTS
from harness.results.times import UNKNOWN_S, Times
from harness.verdict.reading import read_trials
from harness.verdict.series import point_of
from harness.verdict.summaries import summarize_groups
from harness.verdict.trials import Measure
from tests.support.cases import make_case
from tests.support.runs import night, record

_FEWER = settings(max_examples=settings.default.max_examples // 4)  # type: ignore[union-attr]  # a profile is loaded
"""For tests that write files."""

_NAME = st.sampled_from(["a", "b", "a-b"])
_SECONDS = st.none() | st.floats(0, 1e6)
_LINES = st.lists(
    st.builds(
        lambda case, model, environment, outcome, times: msgspec.json.encode(
            {
                "case": {"id": case, "model": model, "environment": environment},
                "outcome": outcome,
                "timing": dict(zip(("setup_s", "agent_s", "evaluation_s"), times, strict=True)),
            }
        ),
        _NAME,
        _NAME,
        _NAME,
        st.sampled_from(["passed", "failed", "error", "skipped"]),
        st.tuples(_SECONDS, _SECONDS, _SECONDS),
    )
    | st.sampled_from([b'{"schema": 99}', b'{"cut', b""]),
    max_size=6,
)


def plain_expected_s(case: Case, lines: Sequence[bytes]) -> float:
    """Return the seconds that a case is expected to take, by the definition."""
    known = []
    for line in lines:
        try:
            known.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            continue
    graded = [one for one in known if one.get("outcome") in {"passed", "failed"}]
    closest = (
        {"id": case.id},
        {"model": case.model.name, "environment": case.environment.name},
        {"model": case.model.name},
        {"environment": case.environment.name},
    )
    for wanted in closest:
        times = [one["timing"].values() for one in graded if wanted.items() <= one["case"].items()]
        if times:
            return float(median(sum(value for value in of_one if value is not None) for of_one in times))
    return UNKNOWN_S


@_FEWER
@given(st.lists(_LINES, max_size=5), st.integers(0, 4))
def test_expected_durations_are_the_same_with_and_without_an_index(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[bytes]], stale: int
) -> None:
    runs = tmp_path_factory.mktemp("runs")
    for number, lines in enumerate(nights):
        (runs / f"{number}").mkdir()
        (runs / f"{number}" / RESULTS).write_bytes(b"\n".join(lines))
        os.utime(runs / f"{number}" / RESULTS, (number, number))
    cases = [make_case(model=model, environment=environment) for model in "ab" for environment in "ab"]
    newest = [line for lines in nights[-3:] for line in lines]
    plain = [pytest.approx(plain_expected_s(case, newest)) for case in cases]
    assert [Times.of_runs(runs, newest=3).expected_s(case) for case in cases] == plain
    refresh(runs)
    for number in range(len(nights))[stale:]:  # these changed since
        os.utime(runs / f"{number}" / RESULTS, (number + 1, number + 1))
    assert [Times.of_runs(runs, newest=3).expected_s(case) for case in cases] == plain


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b'{"case":{"id":"\\ud800"', b"\xff"]), max_size=4))
def test_any_bytes_can_be_read(lines: list[bytes]) -> None:
    assert entries_of(lines).entries == []


@_FEWER
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["codex", "pi"]), st.sampled_from(["door", "maze"])),
        st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=3),
        min_size=1,
    ),
    st.data(),
)
def test_a_point_says_the_same_as_the_statistics_of_the_run(
    tmp_path_factory: pytest.TempPathFactory,
    programs: dict[tuple[str, str], list[int | None]],
    data: st.DataObject,
) -> None:
    records = night(programs)
    for one in data.draw(st.lists(st.sampled_from(records), unique_by=lambda one: one.session)):
        again = data.draw(st.none() | st.integers(0, 20))
        records.append(
            record(
                one.case.backend,
                one.case.environment,
                one.case.replicate,
                solved=again,
                try_number=2,
                artifacts=f"{one.session}.2",
            )
        )
    run = tmp_path_factory.mktemp("run")
    (run / RESULTS).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    whole = summarize_groups(read_trials(run).trials)[0]
    found = point_of(PastRun(IndexedRun("run", "", None, 0), read_entries(run / RESULTS).entries))
    means = [found.solve_rate, found.cost_usd, found.turns, found.seconds]
    measures = (Measure.SOLVE_RATE, Measure.COST, Measure.TURNS, Measure.SECONDS)
    assert means == [
        pytest.approx(whole.measures[measure].mean) if measure in whole.measures else None for measure in measures
    ]
    assert found.missing / found.sessions == pytest.approx(whole.missing_share)
