"""What running cases are doing. It is read from the files that they leave while they run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from backends.base import Backend
from backends.registry import backend
from backends.session import Session
from harness.agent.stream import StreamReader
from harness.case_folder import CaseFolder
from harness.gateway.ledger import LedgerEntry
from harness.page.rows import usage_of
from harness.results.drafts import read_draft
from harness.results.record import Record
from harness.transcript.metered import read_ledger
from harness.viewer.growing import FileStamp, GrowingFile, stamp_of
from harness.viewer.run import key_of
from harness.visible import visible, visible_struct

_MOST = 16 << 20
"""How many bytes of a stream are decoded at once. The rest of a long one follows at the next look."""

_RATE_S = 60.0
"""Over how many seconds the speed of the model is measured."""


class RunningCase(Struct, frozen=True, kw_only=True):
    """A case whose run goes on and which has no record yet.

    `doing` is `starting`, `model` (it waits for an answer), `tool`, `waiting` (for its next attempt) or `grading`.
    `tool` is the last tool that the agent called. `silent_s` are the seconds since the CLI last wrote something, and
    `seconds` those since the case began. Tokens and cost are those of all attempts, by the gateway's ledger.
    `tokens_per_s` is how fast the answers of the last minute came, and `None` if there was none. `size` is that of the
    stream, which changes with the transcript.
    """

    key: str
    run: str
    id: str
    backend: str
    model: str
    environment: str
    doing: str
    attempt: int
    turn: int | None = None
    tool: str = ""
    silent_s: float | None = None
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens_per_s: float | None = None
    cost_usd: float | None = None
    size: int = 0


class FollowedCase:
    """A running case. `look` reads what is new in its folder."""

    def __init__(self, folder: CaseFolder) -> None:
        self.folder = folder
        self.record: Record | None = None
        self._adapter: Backend | None = None
        self._stream = GrowingFile(folder.stream)
        self._reader: StreamReader | None = None
        self._ledger: list[LedgerEntry] = []
        self._seen: tuple[FileStamp | None, FileStamp | None] | None = None

    def look(self) -> RunningCase | None:
        """Return what the case is doing, or `None` if its draft is gone or cannot be read."""
        try:
            self._read_record()
            self._read_stream()
        except (OSError, ValueError):  # it has just ended, or another version writes it
            return None
        return None if self.record is None else self._shown(self.record)

    def _read_record(self) -> None:
        """Read the draft and the ledger again if one of them has changed."""
        seen = stamp_of(self.folder.draft), stamp_of(self.folder.ledger)
        if seen == self._seen:
            return
        self.record = visible_struct(read_draft(self.folder))
        self._ledger = read_ledger(self.folder.ledger) if seen[1] else []
        self._seen = seen

    def _read_stream(self) -> None:
        """Decode what is new in the stream of the last attempt."""
        if self._reader is None or self._stream.is_new():
            self._reader = None if self.record is None else _reader(self.record.agent or self.record.case.backend)
        data = self._stream.read(_MOST)
        if self._reader is not None:
            self._reader.feed(data)

    def _shown(self, record: Record) -> RunningCase:
        session = Session() if self._reader is None else self._reader.session
        stamp, used, names = self._stream.stamp, usage_of(record), record.case
        before = sum(one.usage.reported.turns for one in record.attempts if one.usage.reported)
        begun = 1 + sum(path.is_dir() for path in self.folder.path.glob("attempt-*"))
        return RunningCase(
            key=key_of(self.folder.path.parent.name, self.folder.path.name),
            run=visible(self.folder.path.parent.name),
            id=names.id,
            backend=names.backend,
            model=names.model,
            environment=names.environment,
            doing=self._doing(record, session, begun),
            attempt=begun,
            turn=max(before + session.turns if begun > len(record.attempts) else before, used.turns if used else 0),
            tool=visible(session.last_tool),
            silent_s=None if stamp is None else max(0.0, time.time() - stamp.mtime_ns / 1e9),
            seconds=_since(record.started_at),
            input_tokens=None if used is None else _input(used.input_tokens, used.cache_read_tokens),
            output_tokens=None if used is None else used.output_tokens,
            tokens_per_s=speed(self._ledger, time.time()),
            cost_usd=None if used is None else used.cost_usd,
            size=0 if stamp is None else stamp.size,
        )

    def _doing(self, record: Record, session: Session, begun: int) -> str:
        if begun == len(record.attempts):  # the last attempt has ended
            return "grading" if self.folder.submission.exists() else "waiting"
        if self._stream.stamp is None:
            return "starting"
        return "tool" if session.open_calls else "model"


class RunningCases:
    """The running cases of some runs. `look` returns what they are doing now."""

    def __init__(self) -> None:
        self._cases: dict[str, FollowedCase] = {}

    def look(self, folders: Sequence[CaseFolder]) -> list[RunningCase]:
        """Return the cases in these folders, those that have run for longest first."""
        keys = {key_of(one.path.parent.name, one.path.name): one for one in folders}
        self._cases = {key: self._cases.get(key) or FollowedCase(folder) for key, folder in keys.items()}
        seen = [shown for case in self._cases.values() if (shown := case.look())]
        return sorted(seen, key=lambda one: (-(one.seconds or 0.0), one.run, one.id))

    def find(self, key: str) -> tuple[Record, Path] | None:
        """Return the draft and the run of the case with this key, or `None` if it does not run."""
        case = self._cases.get(key)
        return None if case is None or case.record is None else (case.record, case.folder.path.parent)


def speed(ledger: Sequence[LedgerEntry], now: float) -> float | None:
    """Return the output tokens per second of the answers that ended in the last minute, or `None` without any."""
    recent = [entry for entry in ledger if entry.usage and _ended(entry) > now - _RATE_S]
    seconds = sum(entry.duration_s for entry in recent)
    return sum(entry.usage.output_tokens for entry in recent if entry.usage) / seconds if seconds else None


def _ended(entry: LedgerEntry) -> float:
    try:
        return datetime.fromisoformat(entry.time).timestamp() + entry.duration_s
    except ValueError:
        return 0.0


def _reader(name: str) -> StreamReader | None:
    try:
        return StreamReader(backend(name))
    except ValueError:  # this installation lacks the adapter
        return None


def _since(began: str | None) -> float | None:
    try:
        return None if began is None else max(0.0, time.time() - datetime.fromisoformat(began).timestamp())
    except ValueError:
        return None


def _input(sent: int | None, cached: int | None) -> int | None:
    return None if sent is None else sent + (cached or 0)
