"""The options for mounts that podman and docker have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from harness.sandbox.filesystem import IN_MEMORY
from harness.sandbox.layout import Bind, Layout


def mounts(layout: Layout, *of_memory: str) -> Iterator[str]:
    """Yield the options that mount a layout, except for its root. `of_memory` are an engine's for folders in memory."""
    for bind in layout.binds:
        yield from ("--mount", bound(bind))
    for place in IN_MEMORY:
        size = f"tmpfs-size={layout.tmp_bytes}"
        yield from ("--mount", ",".join(("type=tmpfs", f"destination={place}", "tmpfs-mode=1777", size, *of_memory)))


def bound(bind: Bind) -> str:
    """Return the value of `--mount` for a bind. Both engines read it as a line of CSV."""
    fields = ["type=bind", f"source={bind.source}", f"destination={bind.place}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*fields, *([] if bind.writable else ["readonly"])])
    return line.getvalue()
