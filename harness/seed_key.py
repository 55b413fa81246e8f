"""The key from which held-out seeds are derived. It is read on the host, and no sandbox, file or message shows it.

The key of real models is private: it is in the variable `PROCTOR_SEED`, or else in the file that `proctor seed` makes.
Scripted cases have a public key, so that their results are the same on every machine.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from harness.endings import ConfError

VARIABLE: Final = "PROCTOR_SEED"
"""The environment variable with the private key. It has precedence over the file."""

_BYTES: Final = 32
_FEWEST_DIGITS: Final = 32
"""128 bits, so that nobody finds the key by trying."""

_LABEL: Final = b"the digest of this key"


class SeedKey:
    """A key for held-out seeds. Its `digest` identifies it, and `place` says where it comes from.

    It cannot be printed or pickled. Two keys with the same digest are the same.
    """

    __slots__ = ("_key", "digest", "place")

    def __init__(self, key: bytes, place: str, digest: str | None = None) -> None:
        self._key = key
        self.place = place
        self.digest = self.mac(_LABEL).hex()[:16] if digest is None else digest

    def mac(self, message: bytes) -> bytes:
        """Return the HMAC-SHA256 of a message under this key."""
        return hmac.digest(self._key, message, "sha256")

    def reveal(self) -> str:
        """Return the key itself, in hexadecimal. Only `proctor seed --show` needs it."""
        return self._key.hex()

    def __repr__(self) -> str:
        """Return a text without the key, because tracebacks show values."""
        return f"<SeedKey {self.digest}>"

    def __reduce__(self) -> NoReturn:
        """Raise `TypeError`, so that no message or file can hold the key."""
        raise TypeError("a key of held-out seeds is never pickled")


PUBLIC: Final = SeedKey(b"the public key of scripted cases", "Proctor", "public")
"""The key of scripted cases. Everybody can compute their held-out seeds."""


def key_file() -> Path:
    """Return the file of the private key. It may not exist. Raise `ConfError` for a user without a home.

    A relative XDG_CONFIG_HOME is ignored, as the XDG specification asks.
    """
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = given if given.is_absolute() else Path.home() / ".config"
    except RuntimeError:
        raise ConfError(f"this user has no home to hold the private seed: set {VARIABLE} or XDG_CONFIG_HOME") from None
    return folder / "proctor" / "seed"


def private_key() -> SeedKey | None:
    """Return the private key, or `None` if there is none. An empty variable counts as none.

    Raise `ConfError` for a key that is too short, and for a file that cannot be read or that other users may read.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return _parsed(text, VARIABLE) if text else key_in(key_file())


def key_in(path: Path) -> SeedKey | None:
    """Return the key in a file, or `None` if the file does not exist. Raise `ConfError` as `private_key` does."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise ConfError(f"{path} is {kind}, and the private seed is a file: move it away, then run `proctor seed`")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfError(
                f"{path} holds the private seed, and other users may use it (mode {stat.S_IMODE(mode):o}): run "
                f"`chmod 600 {path}`, or make a new key with `proctor seed --new`"
            )
        return _parsed(path.read_text("ascii", "replace").strip(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfError(f"cannot read the private seed in {path}: {error.strerror}") from error


def make_key(path: Path, *, replace: bool = False) -> SeedKey:
    """Write a new random key into a file that only its user may read, and return the key.

    The file appears with its whole content. Raise `FileExistsError` if it exists, unless `replace` is true.
    """
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with TemporaryDirectory(prefix=".seed-", dir=path.parent) as folder:
        written = Path(folder, "seed")
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_hex(_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            written.replace(path)
        else:
            path.hardlink_to(written)
    made = key_in(path)
    if made is None:
        raise ConfError(f"{path} has vanished: another program has removed it")
    return made


def _parsed(text: str, place: str) -> SeedKey:
    """Return the key that a text holds. The error does not show the text, which may be almost a key."""
    if len(text) < _FEWEST_DIGITS or len(text) % 2 or not re.fullmatch(r"[0-9a-fA-F]+", text):
        raise ConfError(
            f"{place} holds no usable private seed: it must have at least {_FEWEST_DIGITS} hexadecimal digits "
            f"(128 bits) and an even number of them, and it has {len(text)} characters; `proctor seed --new` makes a "
            f"key in {key_file()}, and `proctor seed --show` prints it"
        )
    return SeedKey(bytes.fromhex(text), place)
