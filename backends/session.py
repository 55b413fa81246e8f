"""`Session`: the totals of a stream of events. It needs constant memory, however long the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from backends import events as ev
from backends.compactions import Compactions
from backends.identity import same_response
from backends.mcp_presence import NOT_LISTED, absent
from backends.reading.experiment import shell_command
from backends.remembered import REMEMBERED, forget
from backends.reported_usage import ReportedUsage
from backends.tool_times import OpenCall, ToolTimes

ERRORS_KEPT = 20
"""How many errors to keep whole. All errors count."""


class Session:
    """The totals of a session, as its CLI reports them. Counters only grow.

    - `turns`: distinct model responses, including those of subagents if the CLI shows them.
    - `usage`: for each kind of token, the greater of the sum over turns and the CLI's own running total. A CLI may
      repeat a turn's usage (a turn's usage is then its greatest) and report some tokens only in its totals. A count
      that the CLI never told is `None`.
    - `cost_usd`: likewise. It is the CLI's own figure. The gateway's ledger has the real cost.
    - `usage_by_model`: likewise, for each model that the CLI names. Empty if it names none.
    - `experiment_s`, `other_tools_s`: seconds of the calls that ran Python or rendered, and of all others. Calls that
      run side by side count each. A call that started a subagent counts as neither.
    - `empty_turns`: the number of turns in a row, up to the last one, that called no tool and wrote nothing (or ended
      for an unknown reason).
    - `stop_reason`: that of the agent's own last turn, whatever its subagents did since.
    - `final`: the CLI's final event, or `None`. It becomes `None` again when another turn begins.
    - `background_tasks`: how many commands and subagents run in the background now.
    - `failure`: the last error, or `None`. It becomes `None` again when a response comes back.
    - `errors`: the first and the last errors, `ERRORS_KEPT` at most.
    """

    def __init__(self) -> None:
        self.session_id = ""
        self.model = ""
        self.cli_version = ""
        self.turns = 0
        self.tool_calls = 0
        self.tool_results = 0
        self.tool_errors = 0
        self.unpaired_results = 0
        self.subagents = 0
        self.retries = 0
        self.denials = 0
        self._compactions = Compactions()
        self.rate_limits = 0
        self.resets_at: float | str | None = None
        self.mcp_servers: dict[str, str] = {}
        self._lists_mcp = False
        self.last_tool = ""
        self.stop_reason: ev.StopReason | None = None
        self.empty_turns = 0
        self.final: ev.SessionFinished | None = None
        self.background_tasks = 0
        self.failure: ev.Error | None = None
        self.error_count = 0
        self.errors: list[ev.Located] = []
        self.unknown_events = 0
        self.unknown_sample: ev.Located | None = None
        self.malformed_lines = 0
        self.malformed_sample: ev.Located | None = None
        self.reported = ReportedUsage()
        self._turns: dict[str, ev.TurnFinished] = {}
        self._calls: dict[tuple[str, str], OpenCall] = {}
        self._times = ToolTimes()
        self._offset: int | None = None
        self._length: int | None = None
        self._at: float | None = None
        self._parents: dict[str, None] = {}
        self._denied_calls: dict[str, None] = {}
        self._wrote_nothing = True
        self._called_nothing = True
        self._not_run: dict[str, None] = {}
        self._turns_with_results: dict[str, None] = {}
        self._earlier: ev.TurnFinished | None = None
        self._turn_open = False
        self._by_subagent = False
        self._answered_tools: dict[str, None] = {}

    @property
    def usage(self) -> ev.Usage:
        """Tokens by kind."""
        return self.reported.usage

    @property
    def usage_by_model(self) -> dict[str, ev.Usage]:
        """Tokens by model and kind."""
        return self.reported.by_model

    @property
    def cost_usd(self) -> float | None:
        """US dollars."""
        return self.reported.cost_usd

    @property
    def untimed_results(self) -> int:
        """Results of calls whose duration is not known."""
        return self._times.untimed

    @property
    def experiment_s(self) -> float | None:
        """Seconds; `None` if the duration of any call is not known."""
        return None if self._times.untimed else self._times.experiment_s

    @property
    def other_tools_s(self) -> float | None:
        """Seconds; `None` if the duration of any call is not known."""
        return None if self._times.untimed else self._times.other_s

    @property
    def tool_s(self) -> float | None:
        """Seconds of both kinds together; `None` if the duration of any call is not known."""
        return None if self._times.untimed else self._times.experiment_s + self._times.other_s

    @property
    def compactions(self) -> int:
        """How often the CLI shortened the conversation."""
        return self._compactions.total

    @property
    def compactions_in_a_row(self) -> int:
        """How often it did so since the last tool call."""
        return self._compactions.in_a_row

    @property
    def open_calls(self) -> int:
        """Remembered tool calls without a result yet."""
        return len(self._times.open)

    @property
    def in_a_command(self) -> bool:
        """Whether the agent waits for shell commands of its last response, and for no other tool."""
        return bool(self._not_run) and self._times.only_commands(self._not_run)

    @property
    def absent_mcp(self) -> dict[str, str]:
        """The MCP servers whose tools were missing, and their status. A server of which a tool answered was there."""
        return absent(self.mcp_servers, self._answered_tools)

    @property
    def calls_not_run(self) -> int:
        """The number of tool calls in the last response that have no result."""
        return len(self._not_run)

    @property
    def finished(self) -> bool:
        """Whether the stream shows the session's end, good or bad. Neither a turn nor background work has to end yet.

        The end is a final event, or else a response that may be the last one (`StopReason.LAST`) and called no tool.
        Only the exit of the CLI shows whether it really was the last one.
        """
        ended = self.final is not None or (self.stop_reason is ev.StopReason.LAST and self._called_nothing)
        return ended and not self.background_tasks

    def add(self, event: ev.Event, at: float | None = None) -> None:
        """Count one event without a line. See `add_line`."""
        self.add_line((event,), at=at)

    def add_line(
        self, events: Iterable[ev.Event], offset: int | None = None, length: int | None = None, at: float | None = None
    ) -> None:
        """Count the events of one line, which is at `offset` in the stream and is `length` bytes long.

        `at` is the time of its arrival, in seconds of any steady clock, or `None` for a recording, which has no times.
        """
        self._offset, self._length, self._at = offset, length, at
        for event in events:
            _ADD[type(event)](self, event)

    def expect_mcp(self, servers: Iterable[str]) -> None:
        """Note which of the servers that the CLI was configured with it does not list, if it lists any."""
        for server in servers:
            if self._lists_mcp and server not in self.mcp_servers:
                self._mcp_status(ev.McpStatus(server=server, status=NOT_LISTED))

    def _session_started(self, event: ev.SessionStarted) -> None:
        for call in [call for call in self._calls if not call[0]]:  # such a CLI counts its ids from 0 again
            del self._calls[call]
        self.session_id = event.session_id or self.session_id
        self.model = event.model or self.model
        self.cli_version = event.cli_version or self.cli_version
        if event.mcp_servers is not None:
            self._lists_mcp = True
            for server, status in event.mcp_servers.items():
                self._mcp_status(ev.McpStatus(server=server, status=status))

    def _mcp_status(self, event: ev.McpStatus) -> None:
        self.mcp_servers[event.server] = event.status
        forget(self.mcp_servers)

    def _wrote(self, event: ev.Text | ev.Thinking) -> None:
        if not event.turn:  # a CLI that does not tell responses apart: what it writes after a call is a later one
            self._not_run.clear()
        self._wrote_nothing = self._wrote_nothing and not event.text

    def _turn_started(self, event: ev.TurnStarted) -> None:
        if event.session_id:
            self.session_id = event.session_id
        if event.parent is not None:
            self._subagent(event.parent)
        self._turn_open = True
        if event.turn in self._turns and (event.whole or event.turn in self._turns_with_results):
            self._begin_again(event.turn, whole=event.whole)
        self._by_subagent = event.parent is not None
        if event.turn not in self._turns:
            self._wrote_nothing = self._called_nothing = True
            self.final = None
            if not self._by_subagent:
                self.stop_reason = None
                if self._earlier is None:  # else its calls still run if it goes on with that response
                    self._not_run.clear()

    def _begin_again(self, turn: str, *, whole: bool) -> None:
        """Forget a turn whose id names another response from now on, as its place in the stream tells."""
        self._earlier = None if whole else self._turns[turn]
        del self._turns[turn]
        self._turns_with_results.pop(turn, None)
        for call in [call for call in self._calls if call[0] == turn]:
            del self._calls[call]

    def _goes_on(self, event: ev.TurnFinished) -> ev.TurnFinished | None:
        """Return the turn that this response goes on with although a tool has answered in between, or `None`."""
        earlier, self._earlier = self._earlier, None
        return earlier if earlier is not None and same_response(earlier, event) else None

    def _subagent_started(self, event: ev.SubagentStarted) -> None:
        self._subagent(event.call_id)

    def _subagent(self, call_id: str) -> None:
        if call_id not in self._parents:
            self.subagents += 1
            self._parents[call_id] = None
            forget(self._parents)

    def _turn_finished(self, event: ev.TurnFinished) -> None:
        known = self._turns.get(event.turn)
        if known is None:
            known = self._goes_on(event)
        elif not event.turn and not self._turn_open:
            known = None
        self._turn_open = False
        if known is None:
            self.turns += 1
            self.failure = None
            self.reported.add(event.usage, event.cost_usd, event.model)
            empty = self._called_nothing and (self._wrote_nothing or event.stop_reason is ev.StopReason.UNKNOWN)
            self.empty_turns = self.empty_turns + 1 if empty else 0
        elif known != event:
            event = self._more_of(known, event)
        self._turns[event.turn] = event
        if len(self._turns) > REMEMBERED:
            forget(self._turns)
        if not self._by_subagent:
            self.stop_reason = event.stop_reason

    def _more_of(self, known: ev.TurnFinished, event: ev.TurnFinished) -> ev.TurnFinished:
        """Count what a repeated event adds to its turn. Return the turn with the greatest counts."""
        usage, model = known.usage.most(event.usage), known.model or event.model
        cost = max((usd for usd in (known.cost_usd, event.cost_usd) if usd is not None), default=None)
        self.reported.add(usage - known.usage, None if cost is None else cost - (known.cost_usd or 0.0), model)
        stop_reason = event.stop_reason or known.stop_reason
        return ev.TurnFinished(turn=event.turn, usage=usage, cost_usd=cost, stop_reason=stop_reason, model=model)

    def _turn_counted(self, event: ev.TurnCounted) -> None:
        if event.turn not in self._turns:
            self.turns += 1
            self.reported.add(event.usage, None, event.model)
            self._turns[event.turn] = ev.TurnFinished(turn=event.turn, usage=event.usage)
            forget(self._turns)

    def _tool_call(self, event: ev.ToolCall) -> None:
        self._called_nothing, self.empty_turns = False, 0  # a CLI may report a response before its calls
        call = OpenCall(event.turn, event.name, shell_command(event.arguments), self._at)
        known = call.repeats(self._calls.get((event.turn, event.call_id)))
        if known and (event.turn or event.call_id in self._times.open):
            return
        self._calls[event.turn, event.call_id] = call
        self._times.begin(event.call_id, call)
        if len(self._calls) > REMEMBERED:
            forget(self._calls)
            forget(self._times.open)
            forget(self._not_run)
        if event.parent is None:
            self._not_run[event.call_id] = None
        self.tool_calls += 1
        self._compactions.called()
        self.last_tool = event.name[:200]

    def _tool_result(self, event: ev.ToolResult) -> None:
        call, known = self._times.end(event.call_id), self._calls.get(("", event.call_id))
        if call is None and event.name and (known is None or known.name != event.name):
            self._tool_call(ev.ToolCall(turn="", call_id=event.call_id, name=event.name))
            call = self._times.end(event.call_id)
        if call is None:
            self.unpaired_results += 1
            return
        self._not_run.pop(event.call_id, None)
        if call.turn in self._turns:
            self._turns_with_results[call.turn] = None
            forget(self._turns_with_results)
        self.tool_results += 1
        self.tool_errors += event.is_error
        if not event.is_error:
            self._answered_tools[call.name] = None
            forget(self._answered_tools)
        if event.call_id not in self._parents:
            self._times.took(call, event.seconds, self._at)

    def _session_finished(self, event: ev.SessionFinished) -> None:
        self.final = event
        self._turns_with_results |= dict.fromkeys(self._turns)  # a session that goes on may use their ids again
        if event.succeeded:
            self.failure = None
        self.session_id = event.session_id or self.session_id
        self.reported.reach(event.usage, event.cost_usd, event.usage_by_model)

    def _retry(self, _event: ev.Retry) -> None:
        self.retries += 1

    def _compaction(self, event: ev.Compaction) -> None:
        self._compactions.add(event.sign)

    def _background_work(self, event: ev.BackgroundWork) -> None:
        self.background_tasks = event.tasks

    def _denied(self, event: ev.PermissionDenied) -> None:
        if event.call_id not in self._denied_calls:
            self.denials += 1
            if event.call_id:
                self._denied_calls[event.call_id] = None
                forget(self._denied_calls)

    def _rate_limit(self, event: ev.RateLimit) -> None:
        self.rate_limits += 1
        self.resets_at = event.resets_at or self.resets_at

    def _unknown(self, event: ev.Unknown) -> None:
        self.unknown_events += 1
        self.unknown_sample = self.unknown_sample or self._located(event)

    def _malformed(self, event: ev.Malformed) -> None:
        self.malformed_lines += 1
        self.malformed_sample = self.malformed_sample or self._located(event)

    def _error(self, event: ev.Error) -> None:
        self.session_id = event.session_id or self.session_id
        self.error_count += 1
        if self.failure is None or event.kind is not ev.ErrorKind.OTHER:
            self.failure = event
        if len(self.errors) == ERRORS_KEPT:
            del self.errors[ERRORS_KEPT // 2]
        self.errors.append(self._located(event))

    def _located(self, event: ev.Event) -> ev.Located:
        return ev.Located(event, self._offset, self._length)


_ADD: dict[type, Callable[[Session, Any], None]] = {
    ev.SessionStarted: Session._session_started,
    ev.TurnStarted: Session._turn_started,
    ev.Text: Session._wrote,
    ev.Thinking: Session._wrote,
    ev.ToolCall: Session._tool_call,
    ev.SubagentStarted: Session._subagent_started,
    ev.ToolResult: Session._tool_result,
    ev.TurnFinished: Session._turn_finished,
    ev.TurnCounted: Session._turn_counted,
    ev.Retry: Session._retry,
    ev.McpStatus: Session._mcp_status,
    ev.Compaction: Session._compaction,
    ev.BackgroundWork: Session._background_work,
    ev.PermissionDenied: Session._denied,
    ev.RateLimit: Session._rate_limit,
    ev.Error: Session._error,
    ev.SessionFinished: Session._session_finished,
    ev.Unknown: Session._unknown,
    ev.Malformed: Session._malformed,
}


def fold(events: Iterable[ev.Event]) -> Session:
    """Return the session that consists of these events."""
    session = Session()
    for event in events:
        session.add(event)
    return session
