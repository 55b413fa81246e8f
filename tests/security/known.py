"""Attempts that are not held today, and why. `docs/security.md` lists them; the table must tell the truth."""

from __future__ import annotations

Places = dict[tuple[str, str], str]
"""The reason, by the kind (agent, policy, limits, environment, gateway) and the user (root, user)."""

_ROOMS = ("agent", "policy")


def _everywhere(reason: str, *users: str) -> Places:
    return {(room, user): reason for room in _ROOMS for user in users}


_DEVICE = (
    "Only root can give a room device files of its own. The rooms of an ordinary user share the host's, and can tell "
    "each other something by them."
)
_EVENT = (
    "The kernel has one file for all events of the machine, and one for each namespace that rooms share. The filter "
    "cannot see which file a lock is for. So two rooms that both want it can tell each other something. Nobody else "
    "locks these."
)

BREACHES: dict[str, Places] = {
    "see another room's lock on a device": _everywhere(_DEVICE, "user"),
    "see another room's lock on a namespace": _everywhere(_EVENT, "root", "user"),
    "see another room's lock on an event": _everywhere(_EVENT, "root", "user"),
    "watch who opens a device": _everywhere(_DEVICE, "user"),
    "start too many tasks": {
        ("environment", "user"): "Without a pids cgroup, nothing limits the processes and threads of an environment."
    },
    "take too much disk by files in messages": {
        ("limits", "user"): "Where the disk is measured, a file on its way between two sockets is not seen."
    },
}
"""Where an attempt is breached, by its name."""
