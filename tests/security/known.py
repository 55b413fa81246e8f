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

_SHARED = (
    "Container engines mount the host's own files. So the kernel has one inode for a program that several rooms read, "
    "and rooms that both want it can tell each other something by it."
)
_OF_CONTAINERS: dict[str, Places] = {
    name: _everywhere(_SHARED, "root", "user")
    for name in (
        *("see another room's lock", "see another room's record lock", "see another room's lock on a system file"),
        *("watch who opens a shared file", "watch who runs a system program"),
    )
}
_COVERED = (
    "An ordinary user's podman covers a file of /proc with an empty device. It can be opened, and has no content."
)
_READ = (
    *("read the kernel's symbols", "read the kernel's command line", "read the kernel's configuration"),
    *("read the key rings", "read timers", "read interrupts", "read locks", "read disks"),
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


_BOUND = "A user namespace can have no devices of its own. So podman shows the host's, and rooms share their locks."
_UNCOVERED = "An ordinary user cannot cover a file of /proc in docker, which covers only a few itself."
_DEVICES = ("see another room's lock on a device", "watch who opens a device")

BREACHES_OF: dict[str, dict[str, Places]] = {
    "bubblewrap": BREACHES,
    "docker": {
        **{name: places for name, places in BREACHES.items() if name not in _DEVICES},
        **_OF_CONTAINERS,
        **{name: _everywhere(_UNCOVERED, "user") for name in (*_READ, "read pressure", "read shared memory's table")},
    },
    "podman": {
        **BREACHES,
        **_OF_CONTAINERS,
        **{name: _everywhere(_BOUND, "root", "user") for name in _DEVICES},
        **{name: _everywhere(_COVERED, "user") for name in ("open kmsg", "open page counts", *_READ)},
    },
}
"""The same for each kind of sandbox."""
