"""The files in any answer of a model: reading them never fails, and none lies outside the submission."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from backends.direct import program

LINES = st.lists(
    st.one_of(
        st.sampled_from(["```", "```python", "~~~", "````", "# file: approach.py", "# file: ../x", "# file: a/b.py"]),
        st.text(max_size=12),
    ),
    max_size=12,
)
NAMES = st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=3).map(
    lambda parts: "/".join(parts) + ".py"
)
SOURCES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(LINES)
def test_no_file_of_an_answer_lies_outside(lines: list[str]) -> None:
    for name in program.files("\n".join(lines)):
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts


@given(st.dictionaries(NAMES, SOURCES, min_size=1, max_size=4))
def test_named_blocks_come_back_as_they_were_written(written: dict[str, str]) -> None:
    written = {"approach.py": "x = 1", **written}
    text = "\n".join(f"Some words.\n``````python\n# file: {name}\n{text}\n``````" for name, text in written.items())
    assert program.files(text) == {name: f"# file: {name}\n{text}\n" for name, text in written.items()}
