"""The logins of subscriptions, as their CLIs keep them on this host: read, and written back once they are renewed.

Only the gateway uses them. No sandbox sees the files or the variables.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from harness.malformed import MALFORMED
from harness.signing_conf import Subscription
from harness.whole_file import written

_MOST_BYTES: Final = 256 * 1024
"""The most bytes of a login file. A larger one is no login."""


class LoginMissing(Exception):
    """The host has no usable login of a subscription. The message says what to do."""


class Login(Struct, frozen=True, kw_only=True):
    """The tokens of a login. `expires_at` is in seconds since 1970, and `None` if it is not known.

    `refresh` renews the access token. A token from a variable has none. `account` names the account that pays.
    """

    access: str
    refresh: str | None = None
    expires_at: float | None = None
    account: str | None = None
    identity: str | None = None

    def __repr__(self) -> str:
        """Return a text without the tokens, because tracebacks show values."""
        return "<Login>"

    @property
    def tokens(self) -> tuple[str, ...]:
        """Everything in the login that is secret."""
        return tuple(filter(None, (self.access, self.refresh, self.identity)))


class Renewal(Struct, frozen=True):
    """What a service answers when it renews a login. `expires_in` is in seconds."""

    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None
    expires_in: float | None = None


class Place(Struct, frozen=True):
    """Where the login of a CLI is kept, and how it is renewed.

    The file is in the folder that the variable `folder_variable` names, else in `folder` of the user's home.
    `variable` may hold a token instead. `client_id` and `scope` are those of the CLI.
    """

    product: str
    command: str
    folder_variable: str
    folder: str
    file: str
    client_id: str
    scope: str | None = None
    variable: str | None = None

    @property
    def path(self) -> Path:
        """The file. Raise `LoginMissing` for a user without a home."""
        named = os.environ.get(self.folder_variable, "")
        try:
            folder = Path(named) if named else Path.home() / self.folder
        except RuntimeError:
            raise LoginMissing(f"this user has no home with a login of {self.product}: set HOME") from None
        return folder / self.file


PLACES: Final[Mapping[Subscription, Place]] = {
    # Claude Code 2.1.332: its client, scopes and file, and the variable that `claude setup-token` is for
    "claude": Place(
        product="Claude Code",
        command="claude",
        folder_variable="CLAUDE_CONFIG_DIR",
        folder=".claude",
        file=".credentials.json",
        client_id="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        scope="user:profile user:inference user:sessions:claude_code user:mcp_servers user:file_upload",
        variable="CLAUDE_CODE_OAUTH_TOKEN",
    ),
    # Codex 0.171.0: its client and file
    "chatgpt": Place(
        product="Codex",
        command="codex login",
        folder_variable="CODEX_HOME",
        folder=".codex",
        file="auth.json",
        client_id="app_EMoamEEZ73f0CkXaXp7hrann",
    ),
}


_SEEN: Final = dict[Subscription, dict[str, None]]()
"""Every token that this process has read. What a session leaves is searched for them, also after they were renewed."""


def read_login(subscription: Subscription) -> Login:
    """Return the login of a subscription on this host. Raise `LoginMissing`."""
    place = PLACES[subscription]
    named = os.environ.get(place.variable or "", "").strip()
    if named:
        _require_usable(named, str(place.variable))
        return _seen(subscription, Login(access=named))
    path = place.path
    try:
        login = _read(subscription, read_document(path))
    except FileNotFoundError:
        variable = f", or set {place.variable}" if place.variable else ""
        raise LoginMissing(
            f"no login of {place.product} on this host: log in with `{place.command}`{variable}"
        ) from None
    except OSError as error:
        raise LoginMissing(
            f"{path}, the login of {place.product}, cannot be read: {error.strerror}: make it readable for you, or "
            f"remove it and log in with `{place.command}`"
        ) from None
    except (*MALFORMED, KeyError) as error:
        raise LoginMissing(
            f"{path} is not a login of {place.product} ({type(error).__name__}): log in again with `{place.command}`"
        ) from None
    for text in filter(None, (*login.tokens, login.account)):
        _require_usable(text, str(path))
    return _seen(subscription, login)


def login_secrets(subscription: Subscription) -> dict[str, str]:
    """Return the tokens of a login by names for people: those of now, and all that this process has read before."""
    with suppress(LoginMissing):
        read_login(subscription)
    name = f"token of the {PLACES[subscription].product} login"
    return {f"{name}, number {number}": token for number, token in enumerate(_SEEN.get(subscription, ()), 1)}


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a login file. Raise `OSError`, or an error of `MALFORMED`."""
    with path.open("rb") as file:
        found = file.read(_MOST_BYTES + 1)
    return msgspec.json.decode(found[:_MOST_BYTES], type=dict[str, Any])


def renewed(subscription: Subscription, document: Mapping[str, Any], renewal: Renewal, now: float) -> dict[str, Any]:
    """Return the content of a login file with new tokens. Everything else in it stays. `now` is seconds since 1970."""
    if subscription == "claude":
        old = document["claudeAiOauth"]
        expires = old.get("expiresAt") if renewal.expires_in is None else int((now + renewal.expires_in) * 1000)
        new = {
            "accessToken": renewal.access_token,
            "refreshToken": renewal.refresh_token or old.get("refreshToken"),
            "expiresAt": expires,
        }
        return {**document, "claudeAiOauth": {**old, **new}}
    old = document["tokens"]
    new = {
        "access_token": renewal.access_token,
        "refresh_token": renewal.refresh_token or old.get("refresh_token"),
        "id_token": renewal.id_token or old.get("id_token"),
    }
    last = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
    return {**document, "tokens": {**old, **new}, "last_refresh": last}


def store(path: Path, document: Mapping[str, Any]) -> None:
    """Write a login file in one step, for its owner alone. Raise `OSError`."""

    def write(new: Path) -> None:
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    written(path.resolve(), write)


def _seen(subscription: Subscription, login: Login) -> Login:
    _SEEN.setdefault(subscription, {}).update(dict.fromkeys(login.tokens))
    return login


class ClaudeTokens(Struct, rename="camel"):
    """The part of Claude Code's login file that the gateway needs. `expires_at` is in milliseconds since 1970."""

    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None


class CodexTokens(Struct):
    """The part of Codex's login file that the gateway needs."""

    access_token: str
    refresh_token: str | None = None
    id_token: str | None = None
    account_id: str | None = None


def _read(subscription: Subscription, document: Mapping[str, Any]) -> Login:
    if subscription == "claude":
        claude = msgspec.convert(document["claudeAiOauth"], ClaudeTokens)
        at = None if claude.expires_at is None else claude.expires_at / 1000
        return Login(access=claude.access_token, refresh=claude.refresh_token or None, expires_at=at)
    codex = msgspec.convert(document["tokens"], CodexTokens)
    return Login(
        access=codex.access_token,
        refresh=codex.refresh_token or None,
        expires_at=_end(codex.access_token),
        account=codex.account_id or None,
        identity=codex.id_token or None,
    )


def _end(token: str) -> float | None:
    """Return when a JSON Web Token ends, or `None` if it does not say."""
    try:
        part = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
        end = claims["exp"]
    except (IndexError, KeyError, binascii.Error, *MALFORMED):
        return None
    return float(end) if isinstance(end, int | float) else None


def _require_usable(token: str, where: str) -> None:
    if not (token.isascii() and token.isprintable()):
        raise LoginMissing(f"no usable token in {where}: it has a line break, or a character outside ASCII")
