"""A provider's key reaches neither agent nor files, however a service quotes it in its answer."""

import base64
import gzip
import html
import json
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.secrecy.hiding import HIDDEN, Hider, hide
from harness.secrecy.spellings import spellings
from tests.support.forwarding import Bench
from tests.support.gateway_client import address, conversation
from tests.support.scripted_gateway import PATHS
from tests.support.stand_in_upstream import Upstream

KEY = "sk-host/0123+4567=89_abcdef"
WAYS = {
    "plain": KEY,
    "in a URL": quote(KEY, safe=""),
    "every character in a URL": "".join(f"%{ord(one):02x}" for one in KEY),
    "twice in a URL": quote(quote(KEY, safe=""), safe=""),
    "in JSON": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "every character in JSON": "".join(f"\\u{ord(one):04X}" for one in KEY),
    "in HTML": "".join(f"&#{ord(one)};" for one in KEY),
    "in HTML, by the library": html.escape(KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 after a byte": base64.b64encode(b":" + KEY.encode()).decode(),
    "base64 of a header": base64.b64encode(f"Bearer {KEY}\n".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"\xff" + KEY.encode() + b"\xfe").decode(),
    "base64 in a URL": quote(base64.b64encode(b"user:" + KEY.encode()).decode(), safe=""),
    "hexadecimal": KEY.encode().hex(),
    "HEXADECIMAL": KEY.encode().hex().upper(),
    "most of it": KEY[:-4],
}

_HEX = KEY.encode().hex()
OTHER_WAYS = {
    "base64 of a mail": base64.encodebytes(f"authorization: Bearer {KEY * 3}".encode()).decode(),
    "base64 of a mail in JSON": json.dumps(base64.encodebytes((KEY * 3).encode()).decode()),
    "wrapped": f"{KEY[:9]}\r\n{KEY[9:20]}\r\n{KEY[20:]}",
    "wrapped in JSON": json.dumps(f"{KEY[:9]}\n{KEY[9:20]}\n{KEY[20:]}"),
    "bytes with spaces": KEY.encode().hex(" "),
    "BYTES with colons": KEY.encode().hex(":").upper(),
    "a list of bytes": ", ".join(f"0x{one:02x}" for one in KEY.encode()),
    "hexadecimal in both cases": "".join(one.upper() if at % 4 else one for at, one in enumerate(_HEX)),
    "bytes of C": "".join(f"\\x{ord(one):02x}" for one in KEY),
    "bytes of C in JSON": json.dumps("".join(f"\\x{ord(one):02X}" for one in KEY)),
    "octal": "".join(f"\\{ord(one):03o}" for one in KEY),
    "code points": "".join(f"\\u{{{ord(one):x}}}" for one in KEY),
    "quoted-printable": "".join(f"={ord(one):02X}" for one in KEY),
    "old escapes of JavaScript": "".join(f"%u{ord(one):04x}" for one in KEY),
    "HTML with zeros": "".join(f"&#{ord(one):05d};" for one in KEY),
    "hexadecimal HTML with zeros": "".join(f"&#x{ord(one):04X};" for one in KEY),
}
"""Ways that no header can hold, or that are rare."""


def shared(way: str, text: str) -> int:
    """Return the length of the longest part of this way of writing the key that a text holds."""
    lengths = (
        size for size in range(len(way), 7, -1) if any(way[at : at + size] in text for at in range(len(way) - size + 1))
    )
    return next(lengths, 0)


EVENT = 'event: error\ndata: {{"type": "error", "error": {{"type": "x", "message": "your key {} is bad"}}}}\n\n'
ANSWERS: dict[str, dict[str, Any]] = {
    "body of a 200": {"status": 200, "wrap": '{{"debug": "{}"}}'},
    "event of an error": {"status": 200, "wrap": EVENT, "headers": {"content-type": "text/event-stream"}},
    "error": {"status": 400, "wrap": '{{"error": {{"message": "bad key {}"}}}}'},
    "page": {"status": 503, "wrap": "<html>{}</html>", "headers": {"content-type": "text/html"}},
    "redirect": {"status": 302, "wrap": "moved to https://elsewhere.example.org/?key={}"},
}


@PATHS
@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_quotes_the_key_reaches_neither_agent_nor_files(
    both: Bench, upstream: Upstream, path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    session, answered = both.open(key=KEY), ANSWERS[kind]
    where, quoted = address(path, stream=kind == "event of an error"), " ".join(WAYS.values())
    body = answered["wrap"].format(quoted).encode()
    headers = {"x-debug": quoted, "location": f"https://elsewhere.example.org/{quoted}", **answered.get("headers", {})}
    told = ""
    for sizes in (None, [len(body) // 2], [3] * 400):
        with upstream.behaving(status=answered["status"], body=body, headers=headers, sizes=sizes):
            answer = session.client.post(where, json=conversation(path, 0, stream=False), follow_redirects=False)
        assert answer.text.count(HIDDEN.decode()) == len(WAYS)
        told += f"{answer.headers} {answer.text}"
    told += json.dumps(session.ledger()) + repr(session.account.last_failure) + caplog.text
    assert [name for name, way in WAYS.items() if shared(way, told) > len(way) // 2] == []


def test_the_key_is_hidden_in_a_compressed_answer_and_in_one_that_breaks_off(both: Bench, upstream: Upstream) -> None:
    session = both.open(key=KEY)
    with upstream.behaving(body=gzip.compress(f'{{"a": "{KEY}"}}'.encode()), headers={"content-encoding": "gzip"}):
        assert (
            session.client.post("/v1/messages", json=conversation("/v1/messages", 0, stream=False)).text
            == '{"a": "[key]"}'
        )
    with upstream.behaving(body=f"{'x' * 50}{KEY}".encode(), sizes=[70], cut_after=1), pytest.raises(httpx2.HTTPError):
        session.client.post("/v1/messages", json=conversation("/v1/messages", 0, stream=False))
    with upstream.behaving(headers={"content-encoding": KEY}):
        assert KEY not in session.ask("/v1/messages").text
    assert KEY not in json.dumps(session.ledger())


@PATHS
def test_an_answer_without_the_key_passes_piece_by_piece(both: Bench, upstream: Upstream, path: str) -> None:
    """Only bytes that may begin the key wait for the next piece."""
    session = both.open(key=KEY)
    with (
        upstream.behaving(hold_after=1),
        session.client.stream("POST", address(path, stream=True), json=conversation(path, 0, stream=True)) as answer,
    ):
        received = answer.iter_raw()
        first = next(received)
        assert first
        upstream.open()
        assert first + b"".join(received) == upstream.sent[0]


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_the_key_is_hidden_however_it_is_wrapped_or_escaped(way: str) -> None:
    text = OTHER_WAYS[way]
    passed = hide(f'{{"debug": "{text}"}}'.encode(), spellings(KEY)).decode()
    assert HIDDEN.decode() in passed
    assert shared(text, passed) < 36, "what a mail's first line says before the key is no secret"


TEXTS = st.lists(
    st.sampled_from([*WAYS.values(), *OTHER_WAYS.values(), KEY[:9], "s", "%", "\\", "&", "\\u00", "some text ", "ß"]),
    max_size=6,
)


@settings(max_examples=60)
@given(parts=TEXTS, sizes=st.lists(st.integers(1, 40), max_size=40))
def test_pieces_of_any_size_are_hidden_like_the_whole(parts: list[str], sizes: list[int]) -> None:
    ways, data = spellings(KEY), "".join(parts).encode()
    hider, passed, rest = Hider(ways), b"", data
    for size in sizes:
        passed += hider.feed(rest[:size])
        rest = rest[size:]
    passed += hider.feed(rest) + hider.finish()
    assert passed == hide(data, ways)
    assert KEY.encode() not in passed


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_anything_else_passes_unchanged(data: bytes, sizes: list[int]) -> None:
    hider, passed, rest = Hider(spellings("an-unlikely-secret")), b"", data
    for size in sizes:
        passed += hider.feed(rest[:size])
        rest = rest[size:]
    assert passed + hider.feed(rest) + hider.finish() == data
