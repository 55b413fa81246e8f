"""How faithful the states of an environment are, and in which words that is told."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from harness.environments.base import Environment

Fidelity: TypeAlias = Literal["exact", "replay", "none", "unknown"]
"""What `Environment.set_state` does with a state from `Environment.get_state`.

`exact`: from there, the same actions lead to the same observations, rewards and endings. `replay`: as `exact`, and the
state is the seed with the actions so far, which are played again. `none`: the same actions may lead elsewhere.
`unknown`: the adapter does not say.
"""

FIDELITIES: Final[tuple[Fidelity, ...]] = get_args(Fidelity)

_SENTENCES: Final[dict[Fidelity, str]] = {
    "exact": "States are exact: after a state is set, the same actions have the same results.",
    "replay": (
        "A state is the seed with the actions so far. Setting it plays them again, and the same actions then have the "
        "same results."
    ),
    "none": "States are not faithful: after a state is set, the same actions may have other results.",
    "unknown": "It is not known whether the same actions have the same results after a state is set.",
}


def sentence(fidelity: Fidelity) -> str:
    """Return in a sentence how faithful states are."""
    return _SENTENCES[fidelity]


def fidelity_of(environment: Environment) -> Fidelity:
    """Return the `state_fidelity` of an environment, or `unknown` if it has none.

    Raise `ValueError` for a value that is not one of `FIDELITIES`.
    """
    declared = getattr(environment, "state_fidelity", "unknown")
    for fidelity in FIDELITIES:
        if declared == fidelity:
            return fidelity
    raise ValueError(f"state_fidelity must be one of {', '.join(FIDELITIES)}; got {declared!r:.80}")
