"""Budgets that cases of several processes share, over a gateway with real loopback HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from harness.agent.watchdog import Snapshot, failed, spent
from harness.budget_conf import BudgetConf, PaceConf
from harness.case import BackendConf, Limits
from harness.endings import ConfError, Ending
from harness.gateway import patience
from harness.gateway.provider import Answer, AnswerError, StreamCut, Unreachable
from harness.gateway.purse import Purse, Spend
from harness.gateway.purses import POLL_S, CasePurses, Purses, RunPart, budget_file
from harness.gateway.shared_budget import KEPT_S, SharedBudget
from harness.models.checks import check_budgets
from tests.support.cases import REMOTE, make_case
from tests.support.gateway_client import CHAT, Forwarder, eventually
from tests.support.shared_purses import PRICE, Workers, case_with, workers

USED = {"prompt_tokens": 100, "completion_tokens": 20}
TURN = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}], "usage": USED}
ANSWER = [f"data: {json.dumps(TURN)}\n\n".encode(), b"data: [DONE]\n\n"]
WORST_USD = 0.03
"""More than a request of these tests can cost."""


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with workers(tmp_path) as made:
        yield made


def answering() -> Forwarder:
    """Return a provider that answers at once."""
    provider = Forwarder([], ANSWER)
    provider.go_on.set()
    return provider


class Failing:
    """A provider that fails in one way."""

    def __init__(self, fault: Exception | None = None, *, status: int = 200, chunks: tuple[bytes, ...] = ()) -> None:
        self._fault, self._status, self._body = fault, status, chunks

    async def answer(self, call: Any) -> Answer:
        if isinstance(self._fault, AnswerError):
            raise self._fault
        return Answer(status=self._status, headers={"content-type": "text/event-stream"}, chunks=self._chunks())

    async def count_tokens(self, call: Any) -> int:
        return 1

    async def _chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._body:
            yield chunk
        if self._fault:
            raise self._fault


def used(purses: CasePurses) -> str:
    """Return what is used of the first budget."""
    [told, *_] = purses.told()
    return told


def test_workers_share_a_budget_and_a_spent_one_ends_their_cases(team: Workers) -> None:
    case = case_with(BudgetConf(requests=3))
    one, other = team.purses(case), team.purses(case)
    first, second = team.session(one, answering()), team.session(other, answering())
    assert [first.ask(CHAT).status_code, second.ask(CHAT).status_code, first.ask(CHAT).status_code] == [200] * 3
    assert (one.spent(), second.account.passed) == ("suite.budget.requests is 3, and 3 are used", None)
    refused = second.ask(CHAT)
    assert refused.status_code == 400
    assert "budget_spent: suite.budget.requests is 3, and 3 are used" in refused.json()["error"]["message"]
    stop = spent(Limits(), second.account, Snapshot(now=1, began=0, last_output=0))
    assert stop == (Ending.BUDGET_SPENT, "suite.budget.requests is 3, and 3 are used")
    assert [line["refused"] for line in second.ledger()] == [None, "budget_spent"]
    assert used(one) == "suite.budget: 3 of 3 requests used, 0 left"


def test_an_answer_is_charged_what_it_used(team: Workers) -> None:
    purses = team.purses(case_with(BudgetConf(cost_usd=1), BudgetConf(tokens=100_000)))
    team.session(purses, answering()).ask(CHAT)
    assert purses.told() == [
        "suite.budget: $0.0006 of $1 used, $0.9994 left",  # 100 tokens for $3, and 20 for $15 per million
        "provider.remote.daily_budget: 120 of 100,000 tokens used, 99,880 left",
    ]


@pytest.mark.parametrize(
    ("provider", "charged"),
    [
        (Failing(StreamCut("gone"), chunks=(b'data: {"choices": []}\n\n',)), "the most"),
        (Failing(StreamCut("gone"), chunks=(ANSWER[0].replace(b'"stop"', b"null"),)), "the most"),
        (Failing(RuntimeError("a fault")), "the most"),
        (Failing(AnswerError(502, "no answer")), "the most"),
        (Failing(AnswerError(400, "wrong")), "a request"),
        (Failing(status=429, chunks=(b"slow down",)), "a request"),
        (Failing(Unreachable(502, "no connection")), "nothing"),
    ],
)
def test_what_is_not_known_is_charged_at_its_most(team: Workers, provider: Failing, charged: str) -> None:
    purses = team.purses(case_with(BudgetConf(tokens=100_000, requests=9)))
    session = team.session(purses, provider)
    try:
        session.ask(CHAT)
    except Exception:
        assert charged == "the most"
    eventually(lambda: session.account.ledger.open_requests == 0)
    tokens, requests = used(purses).removeprefix("suite.budget: ").split(" left, ")
    assert requests.startswith("0 of" if charged == "nothing" else "1 of")
    assert (not tokens.startswith("0 of")) == (charged == "the most")


def test_a_client_that_leaves_is_charged_at_its_most(team: Workers) -> None:
    purses = team.purses(case_with(BudgetConf(tokens=100_000)))
    session = team.session(purses, Forwarder(ANSWER[:0], ANSWER))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(session.ask, CHAT)
        eventually(lambda: len(session.account.waiting) == 1)
        session.account.close()
        assert asked.exception() is not None or asked.result().status_code != 200
    assert not used(purses).startswith("suite.budget: 0 of")


def test_a_request_waits_for_room_and_goes_on(team: Workers) -> None:
    case = case_with(BudgetConf(cost_usd=WORST_USD))
    busy, slow = team.purses(case), Forwarder([], ANSWER)
    first, second = team.session(busy, slow), team.session(team.purses(case), answering())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(first.ask, CHAT)
        eventually(lambda: slow.asked == 1)
        waiting = pool.submit(second.ask, CHAT)
        eventually(lambda: second.account.metered().requests == 1)
        seen = second.account.last_activity
        eventually(lambda: second.account.last_activity > seen, 10 * POLL_S)
        assert second.account.passed is None
        slow.go_on.set()
        assert (asked.result(10).status_code, waiting.result(10).status_code) == (200, 200)


def test_a_request_that_waits_and_goes_away_holds_nothing(team: Workers) -> None:
    purses, slow = team.purses(case_with(BudgetConf(requests=1))), Forwarder([], ANSWER)
    first, second = team.session(purses, slow), team.session(purses, answering())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(first.ask, CHAT)
        eventually(lambda: slow.asked == 1)
        waiting = pool.submit(second.ask, CHAT)
        eventually(lambda: second.account.metered().requests == 1)
        second.account.end("wall_limit")
        assert waiting.result(10).status_code == 400
        slow.go_on.set()
        assert asked.result(10).status_code == 200
    assert used(purses) == "suite.budget: 1 of 1 requests used, 0 left"


def test_workers_share_the_pace_of_a_provider(team: Workers) -> None:
    case = make_case(provider=replace(REMOTE, pace=PaceConf(concurrent=1)))
    slow, purses = Forwarder([], ANSWER), team.purses(case)
    first, second = team.session(purses, slow), team.session(team.purses(case), answering())
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(first.ask, CHAT)
        eventually(lambda: slow.asked == 1)
        waiting = pool.submit(second.ask, CHAT)
        eventually(lambda: second.account.metered().requests == 1)
        seen = second.account.last_activity
        eventually(lambda: second.account.last_activity > seen, 10 * POLL_S)
        assert second.account.waiting == [], "it is not yet sent"
        slow.go_on.set()
        assert (asked.result(10).status_code, waiting.result(10).status_code) == (200, 200)
    assert (purses.spent(), purses.told()) == (None, [])


def test_a_request_larger_than_the_context_cannot_end_the_suite(team: Workers) -> None:
    purses = team.purses(case_with(BudgetConf(tokens=20_000)))
    session = team.session(purses, answering())
    refused = session.ask(CHAT, max_tokens=10**30)
    assert refused.status_code == 400
    assert "oversized_request" in refused.json()["error"]["message"]
    assert (session.account.passed, purses.spent()) == (None, None)
    assert session.ask(CHAT).status_code == 200


def test_a_larger_budget_is_open_again(team: Workers) -> None:
    purses = team.purses(case_with(BudgetConf(cost_usd=0.0001)))
    session = team.session(purses, answering())
    assert session.ask(CHAT).status_code == 400
    assert session.account.passed == "budget_spent"
    why = purses.spent()
    assert why is not None
    assert "which leaves no room for a request that may use 0.0" in why
    assert team.purses(case_with(BudgetConf(cost_usd=1))).spent() is None


def test_other_runs_share_the_provider_and_not_the_suite(team: Workers, tmp_path: Path) -> None:
    case = case_with(BudgetConf(requests=1), BudgetConf(requests=2))
    session = team.session(team.purses(case), answering())
    assert [session.ask(CHAT).status_code for _ in range(2)] == [200, 400]
    later = team.purses(case, part=RunPart(folder=tmp_path / "later", suite="nightly"))
    assert [team.session(later, answering()).ask(CHAT).status_code for _ in range(2)] == [200, 400]
    last = team.purses(case, part=RunPart(folder=tmp_path / "last", suite="nightly"))
    assert last.spent() == "provider.remote.daily_budget.requests is 2, and 2 are used"


def test_the_shards_of_a_suite_share_its_budget_and_the_next_night_has_its_own(tmp_path: Path) -> None:
    now = 1e9
    budget = SharedBudget(tmp_path / "budget.sqlite", lambda: now)
    first = budget.run_purse(tmp_path / "a", "nightly in 2", 1)
    assert budget.run_purse(tmp_path / "b", "nightly in 2", 2) == first
    assert budget.run_purse(tmp_path / "b", "nightly in 2", 2) == first, "a worker, or a session that resumes it"
    second = budget.run_purse(tmp_path / "c", "nightly in 2", 2)
    assert second != first
    assert budget.run_purse(tmp_path / "d", "nightly in 2", 1) == second
    assert budget.run_purse(tmp_path / "e", "pr in 2", 1) not in {first, second}
    budget.run_purse(tmp_path / "f", "nightly in 2", 1)
    now += 25 * 3600
    assert budget.run_purse(tmp_path / "g", "nightly in 2", 2) == f"run/{tmp_path / 'g'}"
    budget.close()


def test_the_file_is_private_and_forgets_old_days(tmp_path: Path) -> None:
    file, now, day = tmp_path / "proctor/budget.sqlite", 1e9, Purse(name="provider/a/2001-09-09", requests=5)
    budget = SharedBudget(file, lambda: now)
    held = budget.reserve([day], Spend(requests=1))
    assert not hasattr(held, "limit")
    budget.settle(held, Spend(requests=1))
    budget.close()
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    for age, kept in ((KEPT_S - 1, 1), (KEPT_S + 1, 0)):
        later = SharedBudget(file, lambda then=now + age: then)  # type: ignore[misc]
        assert later.spent(day).requests == kept
        later.close()


def test_a_budget_that_cannot_hold_is_refused_at_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfError, match=r"suite\.budget\.cost_usd=5 cannot hold for model model, .* no price: give"):
        check_budgets([case_with(BudgetConf(cost_usd=5))])
    case = case_with(BudgetConf(cost_usd=5))
    with pytest.raises(ConfError, match="no price"):
        check_budgets([replace(case, model=replace(case.model, price="unknown"))])
    check_budgets([replace(case, model=replace(case.model, price=PRICE)), case_with(BudgetConf(tokens=5)), make_case()])
    check_budgets([replace(case, backend=BackendConf("random", kind="program"))])
    with pytest.raises(ConfError, match=r"remote\.daily_budget has no limit: give it cost_usd, tokens or requests"):
        check_budgets([case_with(daily=BudgetConf())])
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfError, match=r"suite\.budget is kept in the user's cache, and .*set HOME"):
        check_budgets([case_with(BudgetConf(tokens=5))])


def no_home() -> Path:
    raise RuntimeError("no home")


def test_a_file_that_cannot_be_opened_is_told(team: Workers) -> None:
    budget_file().parent.mkdir(parents=True)
    budget_file().write_text("not a database, but a text that is long enough to be taken for one\n" * 20)
    with pytest.raises(ConfError, match=r"cannot keep the budget that cases share in .*budget\.sqlite: "):
        team.purses(case_with(BudgetConf(requests=3)))


class Told:
    """A provider whose answers follow one another: each has a status, headers and a body. The last one stays."""

    def __init__(self, *answers: tuple[int, dict[str, str], list[bytes]]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def answer(self, call: Any) -> Answer:
        self.asked += 1
        status, headers, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        kind = "text/event-stream" if status == 200 else "application/json"
        return Answer(status=status, headers={"content-type": kind, **headers}, chunks=_pieces(body))

    async def count_tokens(self, call: Any) -> int:
        return 1


async def _pieces(body: list[bytes]) -> AsyncIterator[bytes]:
    for piece in body:
        yield piece


def all_know() -> bool:
    """Return whether the file that all workers share says that a service holds requests back."""
    with closing(sqlite3.connect(budget_file())) as database:
        return bool(database.execute("SELECT count(*) FROM held_back").fetchone()[0])


BUSY = [b'{"error": {"message": "slow down"}}']
LOADING = [b'{"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}']
GOOD = (200, dict[str, str](), ANSWER)


def test_what_a_service_tells_one_worker_holds_for_all(team: Workers) -> None:
    service = Told((429, {"retry-after": "100"}, BUSY))
    first, second = (team.session(team.purses(case_with()), service) for _ in range(2))
    assert first.ask(CHAT).status_code == 429
    eventually(all_know)  # it is written after the answer
    held = second.ask(CHAT)
    assert service.asked == 1, "the second was not sent"
    assert held.status_code == 429
    assert 98 <= int(held.headers["retry-after"]) <= 100
    assert "wants to be asked again in" in held.json()["error"]["message"]
    [line] = second.ledger()
    assert (line["status"], line["usage"], line["charged"]) == (429, None, None)
    assert line["retry_after_s"] == pytest.approx(100, abs=2)
    failure = second.account.last_failure
    assert failure is not None
    assert failed(failure, "it failed").ending is Ending.RATE_LIMITED


def test_a_request_waits_for_a_service_that_wants_to_be_asked_soon(team: Workers) -> None:
    service = Told((429, {"retry-after": "0.3"}, BUSY), GOOD)
    first, second = (team.session(team.purses(case_with()), service) for _ in range(2))
    assert [first.ask(CHAT).status_code, second.ask(CHAT).status_code, service.asked] == [429, 200, 2]


def test_services_of_other_addresses_do_not_hold_back_one_another(team: Workers) -> None:
    busy, free = Told((429, {"retry-after": "100"}, BUSY)), Told(GOOD)
    elsewhere = make_case(provider=replace(REMOTE, base_url="https://other.example.org"))
    team.session(team.purses(case_with()), busy).ask(CHAT)
    assert team.session(team.purses(elsewhere), free).ask(CHAT).status_code == 200


def test_one_request_looks_at_a_loading_model_and_the_others_wait_for_it(
    team: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "AGAIN_S", 0.02)
    service = Told(*[(503, dict[str, str](), LOADING)] * 20, GOOD)
    first, *others = (team.session(team.purses(case_with()), service) for _ in range(3))
    with ThreadPoolExecutor(3) as threads:
        looking = threads.submit(first.ask, CHAT)
        eventually(lambda: service.asked > 2 and all_know())
        waiting = [threads.submit(one.ask, CHAT) for one in others]
        assert {one.result().status_code for one in (looking, *waiting)} == {200}
    assert service.asked == 23, "each of the others asked once"
    assert [line["status"] for line in first.ledger()] == [200]


def test_another_failure_of_a_service_is_passed_on(team: Workers) -> None:
    service = Told((503, {}, [b"overloaded"]))
    answer = team.session(team.purses(case_with()), service).ask(CHAT)
    assert (answer.status_code, answer.content, service.asked) == (503, b"overloaded", 1)


def test_a_case_without_budgets_runs_also_where_nothing_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proctor").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    alone = Purses(RunPart(folder=tmp_path, suite="nightly"))
    assert alone.of(case_with()) is None
    with pytest.raises(ConfError, match="cannot keep the budget"):
        alone.of(case_with(BudgetConf(requests=1)))
