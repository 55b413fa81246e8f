"""A lazy module is imported on first use."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from harness.lazy import LazyModule


@pytest.mark.parametrize(("text", "imported"), [("import gc; during = gc.isenabled()", True), ("1 / 0", False)])
def test_garbage_is_collected_again_after_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, imported: bool
) -> None:
    (tmp_path / "lately.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    lately = LazyModule("lately")
    assert "lately" not in sys.modules
    if imported:
        assert not lately.during
    else:
        with pytest.raises(ZeroDivisionError):
            lately.during  # noqa: B018 - the use imports it
    assert gc.isenabled()
    sys.modules.pop("lately", None)
