"""The Python packages that an environment and a submission can import. Both run with the same interpreter."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, distributions

_FIELD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_END = re.compile(r"\r?\n\r?\n")


@cache
def installed_packages() -> dict[str, str]:
    """Return the version of each package that is installed for this interpreter, by its name, sorted."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name, version = _name_and_version(distribution)
        if name and version:  # a broken installation has neither
            found.setdefault(name, version)
    return {name: found[name] for name in sorted(found, key=str.lower)}


def _name_and_version(distribution: Distribution) -> tuple[str | None, str | None]:
    """Return what the head of the metadata says. To parse all of it, as `Distribution.metadata` does, is slow."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(_FIELD.findall(_END.split(text, maxsplit=1)[0]))
    return fields.get("Name"), fields.get("Version")
