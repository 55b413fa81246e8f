"""One session of a case's agent, as the tests of the case share it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from _pytest.outcomes import OutcomeException
from msgspec import Struct

from harness.results.record_builder import RecordBuilder

T = TypeVar("T")


class _Raised(Struct, frozen=True):
    """An exception, and its traceback when it was first raised. The traceback grows each time it is raised again."""

    error: BaseException
    traceback: TracebackType | None


class SharedSession:
    """The record of a session, and what the session led to. Each result is made once, for the first test that asks."""

    def __init__(self, builder: RecordBuilder) -> None:
        self.builder = builder
        self._results: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return the result of this name. The first call makes it, and the record counts the time.

        If `make` raises an exception, each call raises it. So the tests of a case whose session ended with an error all
        report this error, and none runs the agent again. `KeyboardInterrupt` is not kept.
        """
        if name not in self._results:
            try:
                with self.builder.timed("total_s"):
                    self._results[name] = make()
            except (Exception, OutcomeException) as error:
                self._results[name] = _Raised(error, error.__traceback__)
        result: T | _Raised = self._results[name]
        if isinstance(result, _Raised):
            raise result.error.with_traceback(result.traceback)
        return result
