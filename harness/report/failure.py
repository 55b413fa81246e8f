"""The text that pytest shows for a case with a submission that was not good enough."""

from __future__ import annotations

from harness.results.record_builder import RecordBuilder

_FILES = (
    ("submission", "what was graded"),
    ("episodes", "one line for each held-out episode"),
    ("policy_log", "what the submission printed"),
    ("stream", "what the CLI said and did"),
    ("result", "everything that was measured"),
)


def graded_failure(builder: RecordBuilder) -> str:
    """Return the text of a failed grade: the reason in the first line, and then the files to open.

    The record itself, `result.json`, is written after this.
    """
    folder = builder.folder
    files = {name: getattr(folder, name) for name, _ in _FILES}
    return "\n".join(
        [
            builder.explanation,
            "",
            f"{folder.path} has",
            *(
                f"  {files[name].name:<16}{meaning}"
                for name, meaning in _FILES
                if name == "result" or files[name].exists()
            ),
        ]
    )
