"""Reconciling the CLI's counts with the ledger: each difference is named, and explained only by a possible cause."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backends import events as ev
from backends.base import ReportingQuirks
from backends.session import Session, fold
from harness.agent.reconcile import reconcile
from harness.gateway.ledger import Metered
from harness.gateway.messages import TokenCounts

TOLD = ReportingQuirks()


def session(turns: int = 2, *extra: ev.Event, final: bool = True, tokens: int = 10) -> Session:
    events: list[ev.Event] = []
    for number in range(turns):
        usage = ev.Usage(input_tokens=tokens, output_tokens=1, cache_read_tokens=0, cache_write_tokens=0)
        events += [ev.TurnStarted(turn=str(number)), ev.TurnFinished(turn=str(number), usage=usage)]
    return fold([*events, *extra, *([ev.SessionFinished()] if final else [])])


SAME = Metered(turns=2, input_tokens=20, output_tokens=2)


def differences(
    seen: Session, ledger: Metered, quirks: ReportingQuirks = TOLD, *, stopped: bool = False
) -> dict[str, str | None]:
    found = reconcile(seen, ledger, quirks=quirks, stopped=stopped)
    return {one.field: one.explained for one in found}


def test_equal_counts_have_no_difference() -> None:
    assert differences(session(), SAME) == {}


@given(st.integers(0, 4), st.integers(0, 4))
def test_every_difference_is_named_with_both_numbers(reported: int, metered: int) -> None:
    ledger = msgspec.structs.replace(SAME, turns=metered, input_tokens=10 * reported, output_tokens=reported)
    found = reconcile(session(reported), ledger, quirks=TOLD, stopped=False)
    expected = [] if reported == metered else [("turns", reported, metered, None)]
    assert [(one.field, one.reported, one.metered, one.explained) for one in found] == expected


def test_a_count_that_the_cli_does_not_tell_does_not_differ() -> None:
    events: list[ev.Event] = [ev.TurnStarted(turn="a"), ev.TurnFinished(turn="a", usage=ev.Usage(input_tokens=20))]
    ledger = msgspec.structs.replace(SAME, turns=1, cache_read_tokens=7)
    assert differences(fold([*events, ev.SessionFinished()]), ledger) == {}


def test_totals_that_a_killed_cli_had_not_reported_explain_too_many_tokens() -> None:
    seen = session(2, ev.SessionFinished(usage=ev.Usage(40, 9, 0, 0)))
    assert differences(seen, SAME) == {"input_tokens": None, "output_tokens": None}
    seen.reported.resumes(session(final=False).reported)
    assert differences(seen, SAME).keys() == {"output_tokens"}
    assert "had not reported" in str(differences(seen, SAME)["output_tokens"])


def test_side_requests_and_broken_answers_explain_exactly_their_own_tokens() -> None:
    ledger = msgspec.structs.replace(SAME, input_tokens=27, side=TokenCounts(input_tokens=7))
    assert "side requests" in str(differences(session(), ledger)["input_tokens"])
    assert differences(session(), msgspec.structs.replace(ledger, input_tokens=28)) == {"input_tokens": None}
    broken = msgspec.structs.replace(SAME, input_tokens=25, broken=TokenCounts(input_tokens=5))
    assert "broke off" in str(differences(session(), broken)["input_tokens"])


def test_hidden_subagents_explain_a_difference_only_if_there_was_one_and_the_cli_hides_them() -> None:
    ledger = msgspec.structs.replace(SAME, turns=5)
    started = ev.SubagentStarted(call_id="c")
    assert differences(session(2, started), ledger) == {"turns": None}
    assert differences(session(), ledger, ReportingQuirks(hides_subagents=True)) == {"turns": None}
    assert "subagents" in str(differences(session(2, started), ledger, ReportingQuirks(hides_subagents=True))["turns"])


def test_compactions_explain_as_many_turns_as_there_were() -> None:
    compacted = session(2, ev.Compaction())
    assert "does not count" in str(differences(compacted, msgspec.structs.replace(SAME, turns=3))["turns"])
    assert differences(compacted, msgspec.structs.replace(SAME, turns=4)) == {"turns": None}
    twice = ReportingQuirks(summaries_tried=2)
    assert differences(compacted, msgspec.structs.replace(SAME, turns=4), twice)["turns"] is not None
    assert differences(compacted, msgspec.structs.replace(SAME, turns=5), twice) == {"turns": None}
    counts = ReportingQuirks(counts_compactions=True)
    aside = msgspec.structs.replace(SAME, turns=1, side_requests=1)
    assert "it counts the responses" in str(differences(session(), aside, counts)["turns"])
    assert differences(session(), aside) == {"turns": None}
    assert differences(session(), msgspec.structs.replace(aside, side_requests=0), counts) == {"turns": None}


def test_a_compaction_explains_calls_that_were_not_carried_out() -> None:
    ledger = msgspec.structs.replace(SAME, tool_calls=1)
    assert differences(session(), ledger) == {"tool_calls": None}
    assert list(differences(session(2, ev.Compaction()), ledger)) == ["tool_calls"]
    assert differences(session(2, ev.Compaction()), ledger)["tool_calls"] is not None


def test_a_stopped_session_explains_missing_counts() -> None:
    ledger = msgspec.structs.replace(SAME, output_tokens=30, turns=3)
    told = differences(session(final=False), ledger, ReportingQuirks(totals_at_end=True))
    assert "totals at the end" in str(told["output_tokens"])
    assert "ended before" in str(told["turns"])
    assert differences(session(), ledger, ReportingQuirks(totals_at_end=True)) == {"turns": None, "output_tokens": None}


def test_only_broken_answers_explain_more_than_the_ledger_has() -> None:
    fewer = msgspec.structs.replace(SAME, turns=1)
    assert differences(session(), fewer, stopped=True) == {"turns": None}
    assert "broke off" in str(differences(session(), msgspec.structs.replace(fewer, broken_turns=1))["turns"])
    assert differences(session(3, tokens=0), msgspec.structs.replace(SAME, turns=1, broken_turns=1))["turns"] is None


MERGES = ReportingQuirks(merges_cache_writes=True)
WRITTEN = msgspec.structs.replace(SAME, input_tokens=14, cache_write_tokens=6)


def test_cache_writes_may_have_another_name_if_no_token_is_lost() -> None:
    assert differences(session(), WRITTEN) == {"input_tokens": None, "cache_write_tokens": None}
    told = differences(session(), WRITTEN, MERGES)
    assert "written to the cache" in str(told["input_tokens"])
    assert "written to the cache" in str(told["cache_write_tokens"])
    lost = msgspec.structs.replace(WRITTEN, input_tokens=15)
    assert differences(session(), lost, MERGES)["cache_write_tokens"] is None


def test_side_requests_and_a_stop_do_not_hide_renamed_cache_writes() -> None:
    side = msgspec.structs.replace(WRITTEN, input_tokens=44, side=TokenCounts(input_tokens=30))
    assert None not in differences(session(), side, MERGES).values()
    stopped = msgspec.structs.replace(WRITTEN, cache_write_tokens=9)
    assert None not in differences(session(final=False), stopped, MERGES, stopped=True).values()


def test_a_script_that_ran_explains_a_different_number_of_calls() -> None:
    quirks = ReportingQuirks(script_tool="functions.exec")
    calls = [ev.ToolCall(turn="0", call_id=str(number), name="exec_command") for number in range(3)]
    ran = msgspec.structs.replace(SAME, tool_calls=1, tools_used=frozenset({"functions.exec"}))
    assert "script" in str(differences(session(2, *calls), ran, quirks)["tool_calls"])
    assert "script" in str(differences(session(), ran, quirks)["tool_calls"])
    assert differences(session(2, *calls), ran) == {"tool_calls": None}
    none_ran = msgspec.structs.replace(ran, tools_used=frozenset({"exec_command"}))
    assert differences(session(2, *calls), none_ran, quirks) == {"tool_calls": None}


@given(st.integers(1, 3))
def test_abandoned_answers_are_explained_whether_the_cli_counts_them_or_not(left: int) -> None:
    broken = TokenCounts(input_tokens=10 * left)
    ledger = msgspec.structs.replace(SAME, input_tokens=20 + 10 * left, broken_turns=left, broken=broken)
    assert set(differences(session(), ledger)) == {"input_tokens"}
    assert set(differences(session(2 + left), ledger)) == {"turns", "output_tokens"}
    assert None not in {*differences(session(), ledger).values(), *differences(session(2 + left), ledger).values()}
