"""What pytest's ids of tests say about cases."""

from __future__ import annotations


def parameters_of(nodeid: str) -> str:
    """Return the parameters in pytest's id of a test. If the case is the only parameter, this is the case's id."""
    return nodeid.rpartition("[")[2].rpartition("]")[0]


def without_group(nodeid: str) -> str:
    """Return pytest's id of a test that has parameters, without the group that `--dist loadgroup` adds: `…[a]@gpu`."""
    return nodeid if nodeid.endswith("]") else nodeid[: nodeid.rfind("]@") + 1] or nodeid
