"""Splits source code into pieces with a colour each. The page makes elements of them, so no markup is parsed."""

from __future__ import annotations

from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.token import Comment, Keyword, Name, Number, String, _TokenType
from pygments.util import ClassNotFound

Piece = tuple[str, str]
"""A kind, which is the name of its CSS class or "", and the text."""

_KINDS = (
    (Comment, "c"),
    (String, "s"),
    (Number, "m"),
    (Keyword, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
)
_MOST = 200_000
"""Beyond this many characters, a text has no colours."""


def coloured(name: str, text: str) -> list[Piece]:
    """Return the pieces of a file's text. Together they are the whole text."""
    if len(text) > _MOST:
        return [("", text)]
    try:
        lexer = get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False, ensurenl=False)
    pieces: list[Piece] = []
    for _, token, value in lexer.get_tokens_unprocessed(text):
        kind = _kind(token)
        if pieces and pieces[-1][0] == kind:
            pieces[-1] = (kind, pieces[-1][1] + value)
        else:
            pieces.append((kind, value))
    return pieces


def _kind(token: _TokenType) -> str:
    return next((kind for group, kind in _KINDS if group in token.split()), "")
