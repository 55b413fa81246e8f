"""What to do if bubblewrap fails. Its output and the host's settings identify the known causes."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

_FOR_USERS = "this host does not let ordinary users make user namespaces: run as root, or as root call "
_APPARMOR = (
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 23.10 and later; or give bwrap an AppArmor "
    "profile that allows userns)"
)
_CONTAINER = (
    "a container's default seccomp profile and masked /proc forbid it: start the container with --cap-add SYS_ADMIN "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)


class Host(Struct, frozen=True, kw_only=True):
    """The settings that decide whether namespaces can be made here. A setting that the kernel lacks is `None`."""

    root: bool
    userns_clone: str | None = None
    max_user_namespaces: str | None = None
    apparmor_restricts: str | None = None
    container: bool = False
    gvisor: bool = False


def look(root: bool, proc: Path = Path("/proc"), marker: Path = Path("/.dockerenv")) -> Host:
    """Read the settings of the host. `root` says whether the harness runs as root."""
    return Host(
        root=root,
        userns_clone=_setting(proc / "sys/kernel/unprivileged_userns_clone"),
        max_user_namespaces=_setting(proc / "sys/user/max_user_namespaces"),
        apparmor_restricts=_setting(proc / "sys/kernel/apparmor_restrict_unprivileged_userns"),
        container=marker.exists(),
        gvisor="gvisor" in (_setting(proc / "version") or "").lower(),
    )


def remedy(reason: str, host: Host) -> str:
    """Return what to do about the failure that bubblewrap reports as `reason` on this host."""
    refused = "ermission" in reason or "not permitted" in reason
    known = (
        ("nknown option" in reason, "bubblewrap is too old: 0.8 or later is needed (Debian 12, Ubuntu 24.04)"),
        (host.gvisor, "gVisor lacks what bubblewrap needs: run on a Linux kernel or in a virtual machine"),
        (not host.root and host.userns_clone == "0", _FOR_USERS + "sysctl kernel.unprivileged_userns_clone=1"),
        (not host.root and host.max_user_namespaces == "0", _FOR_USERS + "sysctl user.max_user_namespaces=15000"),
        (not host.root and host.apparmor_restricts == "1", _FOR_USERS + _APPARMOR),
        (host.container and refused, _CONTAINER),
        (refused, "this machine does not let bubblewrap make namespaces: run as root, or on a host that allows them"),
    )
    return next((text for holds, text in known if holds), "run `bwrap --ro-bind / / --unshare-all true` to learn more")


def _setting(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
