"""A recording gives back what happened in an episode, and a checksum does not depend on how an observation was sent."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.environments.base import Plain, Step
from harness.environments.plain import dumps, loads
from harness.evaluation import recording
from harness.evaluation.recording import EpisodeRecorder, Recording, checksum, read_recording
from tests.properties.test_plain import arrays, json_trees, leaves, plain, same

rewards = st.floats() | st.just(-1.0)
steps = st.lists(st.tuples(plain, rewards, leaves), max_size=4)


class Told:
    """An environment that returns what it was told to, and spoils the actions that it gets."""

    def __init__(self, outcomes: Sequence[tuple[Plain, float, Plain]]) -> None:
        self._outcomes = iter(outcomes)

    def reset(self, seed: int) -> tuple[Plain, dict[str, Plain]]:
        return ["first", seed], {}

    def action(self, plain: Plain, /) -> Any:
        return plain

    def step(self, action: Any) -> Step:
        _, reward, observation = next(self._outcomes)
        if isinstance(action, list | dict):
            action.clear()
        return Step(observation, reward, False, False, {})


def recorded(outcomes: Sequence[tuple[Plain, float, Plain]]) -> Recording:
    recorder = EpisodeRecorder(Told(outcomes))
    recorder.reset(7)
    for action, _, _ in outcomes:
        recorder.step(recorder.action(loads(dumps(action))))
    return read_recording(recorder.recorded())


@given(steps)
@settings(deadline=None)
def test_a_recording_has_the_actions_as_they_came_and_what_they_brought(
    outcomes: list[tuple[Plain, float, Plain]],
) -> None:
    found = recorded(outcomes)
    assert same(found.actions, [action for action, _, _ in outcomes])
    assert found.rewards.tobytes() == np.array([reward for _, reward, _ in outcomes], np.float64).tobytes()
    assert found.seen.tolist() == [checksum(["first", 7]), *(checksum(observation) for _, _, observation in outcomes)]
    assert found.left_out == 0


@given(plain)
@settings(deadline=None)
def test_an_observation_that_was_sent_has_the_same_checksum(value: Any) -> None:
    assert checksum(loads(dumps(value))) == checksum(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        ([1, 2], [2, 1]),
        (np.array([1, 2]), np.array([2, 1])),
        (np.zeros(4, "f4"), np.zeros(4, "f8")),
        (np.zeros((2, 2)), np.zeros(4)),
        ({"a": np.zeros(3)}, {"a": np.ones(3)}),
        (np.zeros((900, 900, 3), "u1"), np.ones((900, 900, 3), "u1")),
    ],
)
def test_another_observation_has_another_checksum(one: Plain, other: Plain) -> None:
    assert checksum(one) != checksum(other)


@given(arrays)
@settings(deadline=None)
def test_the_checksum_of_an_array_does_not_change_with_the_version_of_proctor(array: NDArray[Any]) -> None:
    told = [array.dtype.name, list(array.shape), zlib.crc32(array.tobytes())]
    defined = zlib.crc32(json.dumps(told, separators=(",", ":")).encode())
    for variant in (array, array.astype(array.dtype.newbyteorder(">")), array.copy(order="F")):
        assert checksum(variant) == defined


def test_an_observation_that_cannot_be_sent_has_a_checksum_too() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (loop, object(), np.array([object()]), {1: {2}}):
        assert isinstance(checksum(value), int)


@given(st.binary() | st.binary().map(zlib.compress) | json_trees.map(lambda tree: zlib.compress(_dumped(tree))))
@settings(deadline=None)
def test_any_bytes_give_a_recording_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        read_recording(data)


def _dumped(tree: Any) -> bytes:
    try:
        return dumps(tree)
    except ValueError:
        return b""


parts = st.fixed_dictionaries(
    {
        "actions": st.sampled_from([np.zeros(0, "u1"), np.zeros(5, "u1"), np.frombuffer(dumps(1), "u1"), 1]),
        "lengths": st.sampled_from([np.zeros(0, "u4"), np.array([5], "u4"), np.array([[5]], "u4"), np.array([5])]),
        "rewards": st.sampled_from([np.zeros(0), np.zeros(1), np.zeros(1, "f4"), None]),
        "seen": st.sampled_from([np.zeros(0, "u4"), np.zeros(1, "u4"), np.zeros(2, "u4")]),
        "left_out": st.sampled_from([0, 3, -1, True, "x"]),
    }
)


@given(parts)
@settings(deadline=None)
def test_parts_that_do_not_fit_together_are_refused(given_parts: dict[str, Any]) -> None:
    try:
        found = read_recording(zlib.compress(dumps(given_parts)))
    except ValueError:
        return
    assert len(found.actions) == len(found.rewards) == len(found.seen) - 1


def test_a_long_episode_is_recorded_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[tuple[Plain, float, Plain]] = [([step], 1.0, step) for step in range(10)]
    monkeypatch.setattr(recording, "MOST_STEPS", 4)
    found = recorded(outcomes)
    assert (found.actions, found.left_out) == ([[0], [1], [2], [3]], 6)
    monkeypatch.setattr(recording, "MOST_BYTES", 2 * len(dumps([0])) + 1)
    found = recorded([*outcomes[:2], ("long" * 9, 1.0, 0), *outcomes[3:]])
    assert (found.actions, found.left_out) == ([[0], [1]], 8), "nothing after a step that is left out"
    assert len(found.seen) == 3
