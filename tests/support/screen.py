"""A small terminal emulator: it shows how written bytes look on the screen."""

from __future__ import annotations

import re

_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|(.)", re.DOTALL)


class Screen:
    """A screen with a number of columns and rows. It keeps the lines that scroll off the top."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.rows = rows
        self._lines: list[list[str]] = [[]]
        self._top = 0  # the first visible line
        self._row = 0
        self._column = 0

    def feed(self, text: str) -> None:
        """Write text as a terminal does. Fail on anything that this emulator does not know."""
        for found in _TOKENS.finditer(text):
            number, command, character = found.groups()
            if command:
                self._command(command, number)
            elif character:
                self._character(character)

    @property
    def text(self) -> str:
        """All lines so far, scrolled ones included, without white space at the end."""
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip()

    @property
    def cursor(self) -> tuple[int, int]:
        """The row (among all lines so far) and column of the cursor, both from 0."""
        return self._row, self._column

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        else:
            assert character.isprintable(), f"what is {character!r}?"
            if self._column == self.columns:  # a full line breaks only now
                self._column = 0
                self._down()
            line = self._lines[self._row]
            line += [" "] * (self._column + 1 - len(line))
            line[self._column] = character
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])
        self._top = max(self._top, self._row - self.rows + 1)

    def _command(self, command: str, number: str) -> None:
        match command, number:
            case "m", _:
                pass
            case "A", _:
                self._row = max(self._top, self._row - int(number or 1))
                self._column = min(self._column, self.columns - 1)
            case "G", _:
                self._column = min(int(number or 1), self.columns) - 1
            case "K", "":
                del self._lines[self._row][self._column :]
            case "K", "2":
                self._lines[self._row].clear()
            case "J", "":
                del self._lines[self._row][self._column :]
                for line in self._lines[self._row + 1 :]:
                    line.clear()
            case _:
                raise AssertionError(f"what is CSI {number} {command}?")
