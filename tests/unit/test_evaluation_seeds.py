"""Held-out seeds: the same for every backend, model and replicate, and never one that the agent can use."""

from hypothesis import given
from hypothesis import strategies as st

from harness.evaluation.seeds import FIRST_HELD_OUT, digest, episode_seeds
from harness.seed_key import PUBLIC, SeedKey

keys = st.binary(min_size=32, max_size=32).filter(lambda secret: secret.hex() != PUBLIC.reveal())
environments = st.text()
salts = st.integers()
counts = st.integers(min_value=0, max_value=50)


def key(secret: bytes) -> SeedKey:
    return SeedKey(secret, "here")


@given(keys, environments, salts, counts)
def test_seeds_are_distinct_repeatable_and_beyond_those_of_the_tools(
    secret: bytes, environment: str, salt: int, count: int
) -> None:
    seeds = episode_seeds(key(secret), environment, count, salt=salt)
    assert len(seeds) == len(set(seeds)) == count
    assert all(FIRST_HELD_OUT <= seed < 2**31 for seed in seeds)
    assert seeds == episode_seeds(key(secret), environment, count, salt=salt)


@given(keys, environments, salts, counts)
def test_a_longer_list_begins_with_the_shorter_one(secret: bytes, environment: str, salt: int, count: int) -> None:
    longer = episode_seeds(key(secret), environment, count + 5, salt=salt)
    assert longer[:count] == episode_seeds(key(secret), environment, count, salt=salt)


@given(st.lists(st.tuples(keys, environments, salts), min_size=2, max_size=5, unique=True))
def test_another_key_environment_or_salt_gives_other_seeds(drawn: list[tuple[bytes, str, int]]) -> None:
    lists = [(key(secret), episode_seeds(key(secret), name, 4, salt=salt)) for secret, name, salt in drawn]
    assert len({tuple(seeds) for _, seeds in lists}) == len(lists)
    assert len({digest(used, seeds) for used, seeds in lists}) == len(lists)


@given(keys, st.lists(st.integers(min_value=0), max_size=3), st.lists(st.integers(min_value=0), max_size=3))
def test_a_digest_tells_lists_of_seeds_apart_and_says_nothing_to_someone_without_the_key(
    secret: bytes, one: list[int], other: list[int]
) -> None:
    assert (digest(key(secret), one) == digest(key(secret), other)) == (one == other)
    assert digest(key(secret), one) != digest(PUBLIC, one)


def test_the_public_seeds_never_change_from_one_version_to_the_next() -> None:
    assert episode_seeds(PUBLIC, "small_maze", 3) == [921693337, 970517672, 379353688]
    assert digest(PUBLIC, [1, 2]) == "098dafa007eb49faeea32f9f8ab455437290af3a919ac8d9f2fcf55e3fa92c2c"
