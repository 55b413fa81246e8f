"""The results of runs in Python: `proctor.results("last")` is a data frame with a row for each record.

Use pytest to run cases, and the command `proctor` for everything else.
"""

from harness.exports.reading import RunError, episodes, results

__all__ = ["RunError", "episodes", "results"]
