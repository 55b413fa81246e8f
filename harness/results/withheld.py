"""Keeps the secrets of this host out of what is kept of a case."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.results.record import Record
from harness.results.record_builder import RecordBuilder
from harness.secrecy.withholding import Withheld, hidden, warnings, withhold


def withhold_secrets(builder: RecordBuilder, secrets: Mapping[str, str]) -> None:
    """Remove what holds a secret of this host from the files of a case, and warn of it in the record."""
    try:
        found = withhold(builder.folder.path, secrets)
    except OSError as error:
        found = [Withheld(str(error.filename or "a folder"), f"it cannot be searched: {error.strerror}")]
    builder.warnings = list(dict.fromkeys([*builder.warnings, *warnings(found)]))


def without_secrets(record: Record, secrets: Mapping[str, str]) -> Record:
    """Return the record without secrets of this host, which an error message may quote."""
    data = msgspec.json.encode(record)
    shown = hidden(data, secrets)
    return record if shown == data else msgspec.json.decode(shown, type=Record)
