"""Attempts that are not held today, and why. `docs/security.md` lists them; the table must tell the truth."""

from __future__ import annotations

Places = dict[tuple[str, str], str]
"""The reason, by the kind (agent, policy, limits, environment, gateway) and the user (root, user)."""

_WHISPER = (
    "Rooms that may read the same file can tell each other something by it. The filter cannot see which file it is."
)
_WHISPERED: Places = {(room, user): _WHISPER for room in ("agent", "policy") for user in ("root", "user")}

BREACHES: dict[str, Places] = {
    "see another room's lock": _WHISPERED,
    "watch who opens a shared file": _WHISPERED,
    "start too many tasks": {
        ("environment", "user"): "Without a pids cgroup, nothing limits the processes and threads of an environment."
    },
    "take too much disk by files in messages": {
        ("limits", "user"): "Where the disk is measured, a file on its way between two sockets is not seen."
    },
}
"""Where an attempt is breached, by its name."""
