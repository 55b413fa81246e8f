"""Attempts that are not held today, and why. `docs/security.md` lists them; the table must tell the truth."""

from __future__ import annotations

Places = dict[tuple[str, str], str]
"""The reason, by the kind (agent, policy, limits, environment, gateway) and the user (root, user)."""

_NOT_SEALED = "An environment is trusted code, and its host is no sandbox."
_HOST: Places = dict.fromkeys((("environment", "root"), ("environment", "user")), _NOT_SEALED)
_CHANNEL = "Rooms that may read the same file can tell each other something by locking it."
_LEASE = "The owner of a file may be told when another process opens it, and an ordinary user owns what it shows."

BREACHES: dict[str, Places] = {
    "see another room's lock": {(room, user): _CHANNEL for room in ("agent", "policy") for user in ("root", "user")},
    "lease a shared file": {("agent", "user"): _LEASE},
    "learn the case's name": {
        ("agent", user): "The agent's workspace lies in the case's folder." for user in ("root", "user")
    },
    "take too much disk by files in messages": {
        (
            "limits",
            "user",
        ): "Where the disk is measured, a file without a name on its way between two sockets is not seen."
    },
    "take too much memory by children": _HOST,
    "take too much memory by a memory file": _HOST,
    "take too much memory in /dev/shm": _HOST,
    "start too many tasks": _HOST,
    "find a secret in its variables": _HOST,
    "outlive in a session of its own": _HOST,
    "outlive as a daemon": _HOST,
    "outlive as a daemon that ignores signals": _HOST,
    "outlive in a process group of its own": _HOST,
}
"""Where an attempt is breached, by its name."""
