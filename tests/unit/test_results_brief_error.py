"""An error of an episode in one line."""

import pytest

from harness.results.episodes import brief_error

_TRACEBACK = """Traceback (most recent call last):
  File "/sandbox/submission/approach.py", line 3, in reset
    raise ValueError("boom")
"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (_TRACEBACK + "ValueError: boom", "ValueError: boom (approach.py:3)"),
        (_TRACEBACK + "ValueError: boom\nof many lines\n\n  the last", "ValueError: boom (approach.py:3)"),
        (_TRACEBACK + "ValueError: " + "x" * 200, "ValueError: " + "x" * 107 + "… (approach.py:3)"),
        (
            _TRACEBACK + "KeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n"
            '  File "/sandbox/submission/other.py", line 7, in plan\nOSError: two\nlines',
            "OSError: two (other.py:7)",
        ),
        ("the policy's process ended\n(killed by SIGKILL)", "(killed by SIGKILL)"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_line_has_the_type_of_the_error(error: str | None, told: str) -> None:
    assert brief_error(error) == told
