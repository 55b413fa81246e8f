"""What a cassette leaves out of answers and requests: the place, the user, the day, and nothing that was said."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import date
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from harness.gateway.cassette_answers import is_plain, placed, portable, room_of
from harness.gateway.cassette_shape import conversation_of, differences, shape_of
from harness.gateway.messages import ModelRequest

ROOM: Final = "/sandbox"
PLACES = st.lists(st.text("abcxyz019_-", min_size=1, max_size=8), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
SAID = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from([f"{ROOM}/workspace/approach.py", f"{ROOM}/renders/1.png", "/sand", "box", "@room@", ROOM]),
    ),
    max_size=8,
).map("".join)
WIRE = st.sampled_from(["openai_chat", "anthropic_messages", "openai_responses", "google_generate"])


def stream(pieces: Sequence[str], *, nested: bool) -> str:
    """Return a stream whose events have these pieces of a text. A text may be JSON itself, as tools' arguments are."""
    events = [{"delta": {"index": 0, "text": json.dumps(piece)[1:-1] if nested else piece}} for piece in pieces]
    return "".join(f"event: delta\ndata: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def heard(text: str, *, nested: bool) -> str:
    """Return the text that a client reads from a stream."""
    events = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: {")]
    whole = "".join(json.loads(event)["delta"]["text"] for event in events)
    return str(json.loads(f'"{whole}"')) if nested else whole


def cut(text: str, places: Sequence[int]) -> list[str]:
    """Return the text in pieces."""
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(ends)] or [""]


@given(SAID, st.lists(st.integers(0, 200)), st.booleans(), PLACES, WIRE)
def test_an_answer_is_played_in_any_room_as_it_was_said_there_however_it_was_cut(
    said: str, places: Sequence[int], nested: bool, room: str, wire: str
) -> None:
    answer = portable(stream(cut(said, places), nested=nested), ROOM, wire)
    assert heard(placed(answer, ROOM), nested=nested) == said
    assert f"{ROOM}/workspace" not in answer.text
    kept = heard(placed(answer, room), nested=nested)
    assert kept.count(f"{room}/workspace/approach.py") >= said.count(f"{ROOM}/workspace/approach.py")
    if f"{ROOM}/" not in room:
        assert f"{ROOM}/workspace" not in kept


@given(st.text(), WIRE)
def test_an_answer_that_names_no_room_and_no_time_is_kept_byte_for_byte(said: str, wire: str) -> None:
    said = said.replace(ROOM, "")
    assert portable(said, ROOM, wire).text == said


@given(SAID)
@example(f"@room{ROOM}/workspace/approach.py")
def test_what_a_model_says_of_times_is_kept(said: str) -> None:
    body = json.dumps({"created": 1_790_000_000, "text": json.dumps({"created": 1_790_000_000, "said": said})})
    read = json.loads(placed(portable(body, ROOM, "openai_chat"), ROOM))
    assert read["created"] == 0
    assert json.loads(read["text"]) == {"created": 1_790_000_000, "said": said}


@given(st.text())
def test_a_plain_room_reads_the_same_in_json_and_in_a_shell(room: str) -> None:
    if is_plain(room):
        assert json.dumps(json.dumps(room)) == f'"\\"{room}\\""'
        assert room.split() == [room]


DATES = st.dates(date(1970, 1, 1), date(2099, 12, 31)).map(
    lambda day: [f"{day:%Y-%m-%d}", f"{day:%A, %B} {day.day}, {day.year}", f"{day:%a %b %d %Y}", f"{day:%d.%m.%Y}"]
)
ZONES = st.sampled_from(["Etc/UTC", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
VERSIONS = st.tuples(*[st.integers(0, 999)] * 3).map(lambda parts: "v{}.{}.{}".format(*parts))
USERS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8).map(lambda name: f"/home/{name}/.config/cli")


@st.composite
def openings(draw: st.DrawFn, task: str = "Solve the maze.") -> tuple[ModelRequest, str]:
    """Draw a CLI's first message on some machine, and the room it was sent from."""
    room = room_of(f"{draw(PLACES)}/run/workspace")
    said = [
        "<environment_context>",
        f"  <cwd>{room}/workspace</cwd>",
        f"  <shell>{draw(st.sampled_from(['sh', 'bash', 'zsh']))}</shell>",
        f"  <timezone>{draw(ZONES)}</timezone>",
        *(f"Today's date is {shown}." for shown in draw(DATES)),
        f"Node {draw(VERSIONS)} at {draw(USERS)}, session {draw(st.uuids())}, in {draw(ZONES)}",
        task,
    ]
    return ModelRequest(model="demo", stream=True, opening="\n".join(said)), room


@given(openings(), openings())
def test_a_first_message_is_the_same_on_every_machine_and_day(
    one: tuple[ModelRequest, str], other: tuple[ModelRequest, str]
) -> None:
    assert shape_of(*one) == shape_of(*other)
    assert conversation_of(*one) == conversation_of(*other)


@given(openings(), openings("Solve the other maze."))
def test_another_task_is_noticed_and_shown(one: tuple[ModelRequest, str], other: tuple[ModelRequest, str]) -> None:
    found = differences(shape_of(*one), *other, called=())
    assert found == [
        "its first message has lines that were not recorded ('Solve the other maze.')",
        "its first message lacks 1 of the recorded lines",
    ]
    assert conversation_of(*one) != conversation_of(*other)
