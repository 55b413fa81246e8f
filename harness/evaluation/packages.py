"""The Python packages that an environment and a submission can import. Both run with the same interpreter."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distributions


@cache
def installed_packages() -> dict[str, str]:
    """Return the version of each package that is installed for this interpreter, by its name, sorted."""
    found: dict[str, str] = {}
    for distribution in distributions():
        metadata = distribution.metadata
        if metadata is not None and metadata["Name"]:  # a broken installation has neither name nor version
            found.setdefault(metadata["Name"], distribution.version)
    return {name: found[name] for name in sorted(found, key=str.lower)}
