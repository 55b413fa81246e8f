"""The tables of `docs/security.md` about attempts to escape: `make escape` writes them."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

import harness
from harness.case import SandboxConf
from harness.sandbox.bubblewrap import BubblewrapSandbox
from tests.security import gateway_escapes, limit_escapes
from tests.security.environment_escapes import ENVIRONMENT
from tests.security.escapes import Outcomes
from tests.security.inside.run import ATTEMPTS, KINDS
from tests.security.known import BREACHES, BREACHES_OF
from tests.security.rooms import LAYERS, sealing_kind

DOCUMENT = Path(harness.__file__).parent.parent / "docs/security.md"
BEGIN, END = "<!-- `make escape` writes what follows. -->", "<!-- `make escape` has written what precedes. -->"
USERS = ("root", "user")
NOT_HERE = {
    *("ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "ENOPKG", "ENOENT", "ENODEV", "ENXIO"),
    *("ENETUNREACH", "EADDRNOTAVAIL"),
}
"""What a weakened room answers if the kernel or the machine does not have what the attempt needs."""


class Found(Struct, frozen=True):
    """The outcomes of one user in one kind of room: in the sealed one, and of the controls."""

    sealed: Outcomes
    controls: Outcomes


Results = Mapping[tuple[str, str], Found]
"""By the kind (agent, policy, limits, environment, gateway) and the user (root, user)."""


def problems(results: Results) -> list[str]:
    """Return what is not as it should be: a breach that is not known, an attempt that is broken, a failed control.

    What is known depends on the kind of sandbox that attempts are made in.
    """
    breaches = BREACHES_OF[sealing_kind()]
    found = []
    for (room, user), part in results.items():
        for name, outcome in part.sealed.items():
            known = (room, user) in breaches.get(name, {})
            if (outcome == "breached") != known or outcome.startswith("broken"):
                found.append(f"{room}, {user}: {name}: {outcome}{' although it is listed as breached' * known}")
        for name, outcome in part.controls.items():
            if control(room, user, name, outcome).startswith("fails"):
                found.append(f"{room}, {user}: the control of {name}: {outcome}")
    return found


def control(room: str, user: str, name: str, outcome: str) -> str:
    """Return how a positive control went: `succeeds`, `impossible here: WHY`, or `fails: WHY`."""
    if outcome == "breached":
        return "succeeds"
    if not outcome.startswith("held: "):
        return outcome if outcome.startswith("impossible here") else f"fails: {outcome}"
    error = outcome.removeprefix("held: ")
    one = ATTEMPTS.get(name)
    if error in NOT_HERE:
        return f"impossible here: {error}"
    if user == "user" and one is not None and one.root_only:
        return f"impossible here: an ordinary user {one.root_only}"
    if user == "root" and one is not None and "rights" in one.without and error == "EPERM":
        return "impossible here: this machine's root may not either"
    return f"fails: {outcome}"


def proven(results: Results) -> set[str]:
    """Return the attempts that have a positive control which succeeds."""
    return {
        name
        for (room, user), part in results.items()
        for name, outcome in part.controls.items()
        if control(room, user, name, outcome) == "succeeds"
    }


def text(results: Results) -> str:
    """Return the tables in Markdown."""
    return "\n".join([*_summary(results), *_rooms(results), *_others(results), *_breaches(results)])


def write(results: Results) -> None:
    """Put the tables into the document."""
    old = DOCUMENT.read_text()
    before, rest = old.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text(results)}\n{END}{after}")


def listed() -> dict[str, bool]:
    """Return the attempts that the document lists, in its order, and whether it says that one is breached."""
    _, rest = DOCUMENT.read_text().split(BEGIN)
    rows = (line.split("|") for line in rest.split(END)[0].splitlines() if re.match(r"\| [^-]", line))
    return {row[1].strip(): " **breached** " in row for row in rows if row[1].strip() != "attempt"}


def names() -> list[str]:
    """Return all attempts, in the order of the document."""
    return [*ATTEMPTS, *limit_escapes.ATTEMPTS, *ENVIRONMENT, *gateway_escapes.ATTEMPTS]


def _summary(results: Results) -> Iterator[str]:
    words = Counter(outcome.partition(":")[0] for part in results.values() for outcome in part.sealed.values())
    version = BubblewrapSandbox(SandboxConf("sealed", "bubblewrap")).version
    yield (
        f"{len(names())} attempts, made {words.total()} times: {words['held']} held, {words['breached']} breached, "
        f"{words['impossible here']} impossible here. A positive control succeeds for {len(proven(results))} attempts."
    )
    yield f"Kernel {platform.release().partition('-')[0]}, {version}, Python {platform.python_version()}."
    yield ""


def _rooms(results: Results) -> Iterator[str]:
    pairs = [(room, user) for room in ("agent", "policy") for user in USERS]
    for kind, attempts in KINDS.items():
        yield f"#### {kind}\n"
        yield "| attempt | agent, root | agent, user | policy, root | policy, user | a room without | control |"
        yield "|---|---|---|---|---|---|---|"
        for name, one in attempts.items():
            cells = [_cell(results[pair].sealed.get(name, "does not apply")) for pair in pairs]
            without = ", ".join(LAYERS[layer] for layer in LAYERS if layer in one.without) or "no such room"
            yield f"| {name} | {' | '.join(cells)} | {without} | {_controls(results, name, pairs)} |"
        yield ""


def _others(results: Results) -> Iterator[str]:
    """Yield the tables of the attempts that only the host can judge."""
    limits = dict.fromkeys(limit_escapes.ATTEMPTS, f"a room without {LAYERS['limits']}")
    controls = {name: one.control for name, one in ENVIRONMENT.items()}
    for kind, title, known in (
        ("limits", "Memory and disk of a room", limits),
        ("environment", "Environments", controls),
        ("gateway", "The gateway", dict.fromkeys(gateway_escapes.ATTEMPTS, "the service itself")),
    ):
        pairs = [(kind, user) for user in USERS]
        yield f"#### {title}\n"
        yield "| attempt | root | user | control in | control |"
        yield "|---|---|---|---|---|"
        for name, where in known.items():
            cells = [_cell(results[pair].sealed[name]) for pair in pairs]
            yield f"| {name} | {' | '.join(cells)} | {where} | {_controls(results, name, pairs)} |"
        yield ""


def _breaches(results: Results) -> Iterator[str]:
    for name, where in BREACHES.items():
        for reason in dict.fromkeys(where.values()):
            places = ", ".join(f"{room} as {user}" for (room, user), why in where.items() if why == reason)
            yield f"- **{name}** ({places}): {reason}"
    if BREACHES:
        yield ""


def _cell(outcome: str) -> str:
    word = outcome.partition(": ")[0] if outcome.startswith("held") else outcome
    return "**breached**" if word == "breached" else word


def _controls(results: Results, name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return in words where the controls of an attempt succeed, and why they do not elsewhere."""
    words: dict[str, list[str]] = {}
    for room, user in pairs:
        if (outcome := results[room, user].controls.get(name)) is not None:
            words.setdefault(control(room, user, name, outcome), []).append(user)
    if not words:
        return "impossible here: the kernel has closed this for all"
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{' and '.join(dict.fromkeys(users))}: {said}" for said, users in words.items())
