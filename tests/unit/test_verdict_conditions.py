"""Which trials may be compared: what differs, what is not set, and what nobody recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.verdict.conditions import Comparable, ConditionChange, comparable
from tests.support.trials import trial

VALUES = st.none() | st.sampled_from(["1", "2", "three", "a" * 64])
NAMES = ["cli", "context", "limits.turns", "prompt"]
WITHOUT_OPTIONS = st.dictionaries(st.sampled_from(NAMES), VALUES)
CONDITIONS = st.dictionaries(st.sampled_from([*NAMES, "server.threads"]), VALUES)


def kept(base: Mapping[str, Any], new: Mapping[str, Any], *allow: str, rate: float | None = 1.0) -> Comparable:
    """Return the comparison of a graded trial with another one, which is missing if it has no rate."""
    return comparable([trial(1.0, conditions=base)], [trial(rate, run="new", conditions=new)], allow)


def differing(base: Mapping[str, Any], new: Mapping[str, Any], *allow: str, rate: float | None = 1.0) -> list[str]:
    return [str(change) for change in kept(base, new, *allow, rate=rate).differing]


@given(CONDITIONS)
def test_equal_conditions_are_compared(conditions: Mapping[str, Any]) -> None:
    assert differing(conditions, conditions) == []


@given(CONDITIONS.filter(bool), st.data())
def test_each_other_value_is_a_difference_of_that_name_only(conditions: Mapping[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(conditions)))
    found = kept(conditions, {**conditions, name: "other"})
    assert [change.name for change in found.differing] == [name]
    assert found.base == []
    allowed = kept(conditions, {**conditions, name: "other"}, name)
    assert len(allowed.base) == 1
    assert [change.name for change in allowed.drift] == [name]


@given(WITHOUT_OPTIONS, WITHOUT_OPTIONS)
def test_a_missing_trial_differs_only_in_what_it_knows(base: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    names = {text.partition(" ")[0] for text in differing(base, new, rate=None)}
    assert names == {name for name in base.keys() & new.keys() if new[name] not in {None, base[name]}}


def test_an_option_that_only_one_configuration_sets_is_named() -> None:
    assert differing({"cli": "1"}, {"cli": "1", "backend.effort": "high"}) == ["backend.effort (not set → high)"]
    assert differing({"cli": "1"}, {"cli": "1", "backend.effort": "high"}, "backend.effort") == []


def test_what_an_older_version_did_not_record_is_one_difference() -> None:
    new = {"cli": "1", "context": "8192", "fingerprint": "f", "server.threads": "2"}
    told = "unrecorded (context, fingerprint, server.threads → nothing)"
    assert differing({"cli": "1"}, new) == [told]
    assert differing({"cli": "2"}, new) == ["cli (2 → 1)", told]
    assert differing({"cli": "2"}, new, "unrecorded") == ["cli (2 → 1)"]
    assert [str(change) for change in kept({"cli": "1"}, new, "unrecorded").drift] == [told]


def test_what_a_silent_session_would_have_asked_is_no_difference() -> None:
    asked = {"cli": "1", "tools_sent": "t", "sampling": "temperature=1", "api": "v1"}
    silent = {"cli": "1", "tools_sent": None, "sampling": None, "api": None}
    assert differing(asked, silent) == differing(silent, asked) == []
    assert differing(asked, asked | {"api": "v2"}) == ["api (v1 → v2)"]
    assert differing(asked, silent | {"cli": None}) == ["cli (1 → unknown)"]


def test_a_long_value_is_cut_and_still_tells_it_from_others() -> None:
    long = ConditionChange("environment_arguments", ("x" * 500 + "a",), ("x" * 500 + "b",))
    told = str(long)
    assert len(told) < 250
    before, after = told.partition(" (")[2].removesuffix(")").split(" → ")
    assert before != after
    assert before.startswith("x" * 80 + "… #")
