"""Our statistics equal those of inspect_ai and statsmodels on the same data. `make peers` installs both."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.discovery import adjusted
from harness.verdict.intervals import clustered_stderr, t_interval, wilson_interval
from harness.verdict.paired import paired_test
from harness.verdict.summaries import pass_at_k, pass_hat_k

scorer: Any = pytest.importorskip("inspect_ai.scorer", reason="make peers installs inspect_ai")
pytest.importorskip("statsmodels", reason="make peers installs statsmodels")
linear: Any = pytest.importorskip("statsmodels.regression.linear_model")
proportion: Any = pytest.importorskip("statsmodels.stats.proportion")
weights: Any = pytest.importorskip("statsmodels.stats.weightstats")
tables: Any = pytest.importorskip("statsmodels.stats.contingency_tables")
multitest: Any = pytest.importorskip("statsmodels.stats.multitest")

RATES = st.integers(0, 20).map(lambda solved: solved / 20)
ROWS = st.lists(st.tuples(RATES, st.sampled_from("abcd")), min_size=2, max_size=30)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@given(rows=ROWS.filter(lambda rows: len({name for _, name in rows}) > 1))
def test_the_clustered_error_is_that_of_inspect_ai_and_of_statsmodels(rows: list[tuple[float, str]]) -> None:
    sample, names = [rate for rate, _ in rows], [name for _, name in rows]
    scores = [
        scorer.SampleScore(score=scorer.Score(value=rate), sample_metadata={"environment": name}) for rate, name in rows
    ]
    ours = clustered_stderr(sample, names)
    assert ours == close(scorer.stderr(cluster="environment")(scores))
    if len(set(sample)) > 1:  # statsmodels divides by the residuals
        members = [sorted(set(names)).index(name) for name in names]
        model = linear.OLS(sample, [1.0] * len(sample)).fit(cov_type="cluster", cov_kwds={"groups": members})
        assert ours == close(model.bse[0])


@given(passed=st.lists(st.booleans(), min_size=1, max_size=12), data=st.data())
def test_pass_at_k_and_pass_hat_k_are_those_of_inspect_ai(passed: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(passed)))
    scores = [scorer.Score(value=float(one)) for one in passed]
    assert pass_at_k(len(passed), sum(passed), k) == close(scorer.pass_at(k)(scores).value)
    assert pass_hat_k(len(passed), sum(passed), k) == close(scorer.pass_k(k)(scores).value)


@given(sample=st.lists(RATES, min_size=2, max_size=20))
def test_the_t_interval_is_that_of_statsmodels(sample: list[float]) -> None:
    ours = t_interval(sample)
    assert ours is not None
    assert (ours.low, ours.high) == close(weights.DescrStatsW(sample).tconfint_mean())


@given(episodes=st.integers(1, 200), data=st.data())
def test_the_wilson_interval_is_that_of_statsmodels(episodes: int, data: st.DataObject) -> None:
    solved = data.draw(st.integers(0, episodes))
    ours = wilson_interval(solved, episodes)
    assert (ours.low, ours.high) == close(proportion.proportion_confint(solved, episodes, method="wilson"))


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_the_paired_test_is_the_exact_mcnemar_test_of_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    worse, better = paired_test([base for base, _ in pairs], [new for _, new in pairs])
    lost, won = pairs.count((True, False)), pairs.count((False, True))
    theirs = tables.mcnemar([[0, lost], [won, 0]], exact=True).pvalue
    assert min(1.0, 2 * min(worse, better)) == close(theirs)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_adjusted_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    assert adjusted(p_values) == close(multitest.multipletests(p_values, method="fdr_bh")[1].tolist())
