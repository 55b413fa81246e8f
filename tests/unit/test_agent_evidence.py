"""An agent can forge what its CLI says, and cannot forge the gateway's ledger. The ledger decides who is to blame."""

from __future__ import annotations

import errno

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent.evidence import LedgerEvidence, ended_by_signal, has_acted, last_word, of_the_agent, proven, weighed
from harness.agent.watchdog import Stop
from harness.endings import ENDINGS, Cause, Ending
from harness.gateway.ledger import Metered, RequestFailure

BLAMED_ON_THE_MODEL = [ending for ending, policy in ENDINGS.items() if policy.cause is Cause.MODEL]
LIMITED = RequestFailure(429, "rate limit exceeded", 5.0)
DOWN = RequestFailure(None, "connection refused", unreachable=True)
FAILED = RequestFailure(500, "internal error")

failures = st.builds(
    RequestFailure,
    st.sampled_from([None, 200, 400, 401, 403, 404, 413, 422, 429, 500, 529]),
    st.sampled_from(["bad request", "rate limit exceeded", "invalid api key", "does not support tools", ""]),
)


def told(ending: Ending) -> Stop:
    return Stop(ending, "API Error: so it was")


@pytest.mark.parametrize("acted", [False, True])
@pytest.mark.parametrize("ending", BLAMED_ON_THE_MODEL)
def test_no_failure_of_the_model_that_the_ledger_has_not_seen_counts(ending: Ending, *, acted: bool) -> None:
    found = weighed(told(ending), LedgerEvidence(acted=acted, requests=3))
    assert found.ending is Ending.CLI_CRASHED
    assert f"{ending}, but no model request failed: API Error" in found.explanation


@given(st.sampled_from(list(Ending)), st.none() | failures, st.none() | failures, st.integers(0, 3))
def test_only_the_ledger_and_the_host_can_unmake_the_grade_of_an_agent_that_has_acted(
    ending: Ending, failure: RequestFailure | None, side: RequestFailure | None, requests: int
) -> None:
    known = LedgerEvidence(acted=True, requests=requests, failure=failure, side_failure=side)
    found = last_word(weighed(told(ending), known), acted=True, acted_before=True)
    policy = ENDINGS[found.ending]
    if not policy.graded and policy.cause is Cause.MODEL:
        assert failure or side
    if ENDINGS[ending].graded:
        assert found == told(ending)
    if not failure and not side:
        assert policy.graded or found.ending in {
            Ending.BUDGET_SPENT,
            Ending.CLI_MISSING,
            Ending.ENVIRONMENT_FAILED,
            Ending.UNAVAILABLE,
            Ending.INTERRUPTED,
            Ending.HARNESS_ERROR,
        }


@given(st.sampled_from([Ending.MODEL_UNREACHABLE, Ending.AUTH_FAILED]))
def test_before_its_first_request_a_cli_may_know_that_it_cannot_ask(ending: Ending) -> None:
    assert weighed(told(ending), LedgerEvidence()) == told(ending)


def test_the_ledger_decides_which_failure_it_was_once_the_agent_has_acted() -> None:
    assert weighed(told(Ending.AUTH_FAILED), LedgerEvidence(acted=True, failure=LIMITED)).ending is Ending.RATE_LIMITED
    assert weighed(told(Ending.CLI_CRASHED), LedgerEvidence(acted=True, failure=LIMITED)).ending is Ending.RATE_LIMITED
    assert weighed(told(Ending.CLI_CRASHED), LedgerEvidence(failure=FAILED)) == told(Ending.CLI_CRASHED)
    assert weighed(told(Ending.SILENT_EXIT), LedgerEvidence(failure=DOWN)).ending is Ending.MODEL_UNREACHABLE
    assert weighed(told(Ending.RATE_LIMITED), LedgerEvidence(acted=True, failure=LIMITED)) == told(Ending.RATE_LIMITED)


@pytest.mark.parametrize("failure", [LIMITED, FAILED, None])
def test_an_agent_that_kills_its_cli_after_a_failure_of_its_own_making_blames_nobody_else(
    failure: RequestFailure | None,
) -> None:
    known = LedgerEvidence(acted=True, requests=9, failure=failure, killed=True)
    assert weighed(told(Ending.CLI_CRASHED), known) == told(Ending.CLI_CRASHED)
    assert last_word(weighed(told(Ending.CLI_CRASHED), known), acted=True, acted_before=False).ending is (
        Ending.CLI_BROKEN
    )


@pytest.mark.parametrize(
    ("exit_code", "killed"), [(None, False), (0, False), (1, False), (127, False), (-9, True), (137, True), (143, True)]
)
def test_a_signal_shows_in_the_exit_code(exit_code: int | None, *, killed: bool) -> None:
    assert ended_by_signal(exit_code) is killed


@pytest.mark.parametrize("ending", BLAMED_ON_THE_MODEL)
def test_requests_that_fail_while_the_cli_waits_for_a_command_are_the_agents(ending: Ending) -> None:
    known = LedgerEvidence(acted=True, requests=9, failure=FAILED, in_a_command=True)
    assert proven(told(ending), known).ending is Ending.CLI_CRASHED
    waits_for_nothing = msgspec.structs.replace(known, in_a_command=False)
    assert proven(told(ending), waits_for_nothing) == told(ending)
    before_it_acts = msgspec.structs.replace(known, acted=False)
    assert proven(told(ending), before_it_acts) == told(ending)


def test_a_side_request_supports_only_the_failure_that_it_had() -> None:
    known = LedgerEvidence(acted=True, requests=3, side_failure=LIMITED)
    assert weighed(told(Ending.RATE_LIMITED), known) == told(Ending.RATE_LIMITED)
    assert weighed(told(Ending.AUTH_FAILED), known).ending is Ending.CLI_CRASHED


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_the_service_calls_wrong_may_be_the_agents_own(status: int) -> None:
    stop = told(Ending.MODEL_ERROR)
    wrong = RequestFailure(status, "messages: field required")
    assert proven(stop, LedgerEvidence(acted=True, failure=wrong)).ending is Ending.CLI_CRASHED
    assert proven(stop, LedgerEvidence(acted=False, failure=wrong)) == stop
    assert proven(stop, LedgerEvidence(acted=True, failure=FAILED)) == stop
    side = LedgerEvidence(acted=True, requests=3, side_failure=wrong)
    assert weighed(stop, side).ending is Ending.CLI_CRASHED, "a request without tools may be the agent's own, too"


def test_a_side_request_of_a_command_does_not_support_what_the_cli_tells() -> None:
    known = LedgerEvidence(acted=True, requests=3, side_failure=LIMITED, in_a_command=True)
    assert weighed(told(Ending.RATE_LIMITED), known).ending is Ending.CLI_CRASHED


def test_an_agent_has_acted_once_its_model_has_called_a_tool() -> None:
    assert not has_acted(Metered(requests=2, turns=2))
    assert has_acted(Metered(tools_used=frozenset({"Bash"})))
    assert has_acted(Metered(leaked_calls=1))  # the CLI may read more into an answer than the gateway does


@pytest.mark.parametrize("ending", [Ending.CLI_CRASHED, Ending.SILENT_EXIT])
def test_a_cli_that_fails_after_its_agent_has_acted_is_broken(ending: Ending) -> None:
    found = last_word(told(ending), acted=True, acted_before=False)
    assert found.ending is Ending.CLI_BROKEN
    assert f"ended with {ending}: API Error" in found.explanation
    assert last_word(told(ending), acted=False, acted_before=False) == told(ending)


@pytest.mark.parametrize("ending", [Ending.MCP_UNAVAILABLE, Ending.SANDBOX_FAILED])
def test_what_an_agent_left_may_keep_the_next_session_from_starting(ending: Ending) -> None:
    assert last_word(told(ending), acted=True, acted_before=True).ending is Ending.CLI_BROKEN
    assert last_word(told(ending), acted=True, acted_before=False) == told(ending)


def test_an_error_of_the_system_is_the_agents_unless_the_hosts_disk_fails_or_no_agent_has_acted() -> None:
    assert of_the_agent(OSError(errno.ENOTDIR, "not a folder"), acted=True)
    assert of_the_agent(OSError(errno.EMFILE, "too many open files"), acted=True)
    assert not of_the_agent(OSError(errno.ENOTDIR, "not a folder"), acted=False)
    assert not of_the_agent(OSError(errno.EIO, "the disk"), acted=True)
    assert not of_the_agent(KeyboardInterrupt(), acted=True)
