"""The token of a subscription. The gateway reads it on the host, renews it when it ends, and sends it to its service.

All workers of this user share the login: one renews it, and the others read what it wrote.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import httpx2
import msgspec
from filelock import FileLock, Timeout

from harness.cache import NoHomeError, user_cache
from harness.gateway.credential import Credential, CredentialMissing, Unsigned
from harness.gateway.provider import AnswerError, Unreachable
from harness.logins import PLACES, Login, LoginMissing, Renewal, read_document, read_login, renewed, store
from harness.malformed import MALFORMED
from harness.private import private_folder
from harness.signing_conf import Subscription

EARLY_S: Final = 300.0
"""How many seconds before its end a token is renewed."""

_PATIENCE_S: Final = 60.0
"""How many seconds a renewal may take, and the wait for another worker's."""

_BETWEEN_S: Final = 60.0
"""How many seconds lie at least between two renewals of a token that has not ended."""

_BETA: Final = "oauth-2025-04-20"
"""What a request with a token of a Claude subscription must name in `anthropic-beta`."""

_KEPT: Final = 4
"""How many tokens an answer is searched for: the last ones that were sent."""


class SubscriptionCredential(Credential):
    """The token of a login on this host. `token_url` renews it. `clock` returns seconds since 1970."""

    def __init__(
        self, subscription: Subscription, token_url: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._subscription = subscription
        self._place = PLACES[subscription]
        self._token_url = token_url
        self._clock = clock
        self._sent: list[str] = []
        self._tried: float | None = None
        try:
            read_login(subscription)
        except LoginMissing as error:
            raise CredentialMissing(str(error)) from error

    async def signed(self, request: Unsigned) -> Mapping[str, str]:
        """See `Credential`. A token that ends soon is renewed first."""
        login = await asyncio.to_thread(self._current)
        if login.access not in self._sent:
            self._sent = [*self._sent, login.access][-_KEPT:]
        headers = {"authorization": f"Bearer {login.access}"}
        if self._subscription == "claude":
            asked = request.headers.get("anthropic-beta", "")
            return headers | {"anthropic-beta": f"{asked},{_BETA}" if asked else _BETA, "x-app": "cli"}
        return headers | ({"chatgpt-account-id": login.account} if login.account else {})

    async def renewed(self, sent: Mapping[str, str]) -> bool:
        """See `Credential`. Another program may have renewed the login: then its token differs from the one sent."""
        used = sent["authorization"].removeprefix("Bearer ")
        return await asyncio.to_thread(self._renewed, used)

    def secrets(self) -> tuple[str, ...]:
        """See `Credential`."""
        return tuple(self._sent)

    def _current(self) -> Login:
        login = self._read()
        if not self._ends(login):
            return login
        with self._locked():
            login = self._read()  # another worker may have renewed it in the meantime
            if not self._ends(login):
                return login
            try:
                return self._renew(login)
            except AnswerError:
                if self._clock() < (login.expires_at or 0.0):
                    return login  # it may still be used
                raise

    def _renewed(self, used: str) -> bool:
        with self._locked():
            login = self._read()
            if login.access != used:
                return True
            if login.refresh is None or self._has_just_tried:
                return False
            self._renew(login)
            return True

    def _ends(self, login: Login) -> bool:
        """Return whether a login ends soon and is to be renewed. If that was just tried, it is used up to its end."""
        if login.refresh is None or login.expires_at is None:
            return False
        left = login.expires_at - self._clock()
        return left < (0.0 if self._has_just_tried else EARLY_S)

    @property
    def _has_just_tried(self) -> bool:
        return self._tried is not None and time.monotonic() - self._tried < _BETWEEN_S

    def _read(self) -> Login:
        try:
            return read_login(self._subscription)
        except LoginMissing as error:
            raise AnswerError(HTTPStatus.UNAUTHORIZED, f"authentication failed: {error}") from error

    def _renew(self, login: Login) -> Login:
        """Renew the login, and write it back. Raise `AnswerError`."""
        path = self._place.path
        if not os.access(path.resolve().parent, os.W_OK):
            raise self._refused(f"{path} cannot be written")
        self._tried = time.monotonic()
        renewal = self._asked(login)  # from now on, the service may refuse the old token
        try:
            store(path, renewed(self._subscription, read_document(path), renewal, self._clock()))
        except (OSError, KeyError, *MALFORMED) as error:
            raise self._refused(f"{path} cannot be written ({type(error).__name__})") from error
        return self._read()

    def _asked(self, login: Login) -> Renewal:
        """Return the tokens with which the service renews a login. Raise `AnswerError`."""
        asked = {"grant_type": "refresh_token", "refresh_token": login.refresh, "client_id": self._place.client_id}
        asked |= {"scope": self._place.scope} if self._place.scope else {}
        if self._token_url is None:
            raise self._refused("its provider has no signing.token_url")
        try:
            answer = httpx2.post(self._token_url, json=asked, timeout=_PATIENCE_S / 2)
        except httpx2.TransportError as error:
            said = f"the login service at {self._token_url} cannot be reached: {type(error).__name__}"
            raise Unreachable(HTTPStatus.BAD_GATEWAY, said) from None
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise AnswerError(answer.status_code, f"the login service answers with {answer.status_code}")
        if answer.status_code != HTTPStatus.OK:
            raise self._refused(f"the service refuses to renew it, with {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=Renewal)
        except MALFORMED as error:
            raise self._refused("the service's answer has no token") from error

    def _refused(self, why: str) -> AnswerError:
        """Return the error for a login that cannot be renewed. It quotes nothing that the service said."""
        place = self._place
        said = f"authentication failed: the login of {place.product} cannot be renewed, because {why}"
        return AnswerError(HTTPStatus.UNAUTHORIZED, f"{said}; log in again with `{place.command}`")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock that all workers of this user share. It is in the user's cache, if there is one."""
        path = self._place.path.resolve()
        try:
            folder = user_cache() / "logins"
            private_folder(folder)
            file = folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.lock"
        except (NoHomeError, OSError):
            file = path.with_name(f"{path.name}.lock")
        lock = FileLock(file, timeout=_PATIENCE_S, mode=0o600)
        try:
            lock.acquire()
        except (Timeout, OSError) as error:
            said = f"another program renews the login of {self._place.product}, and does not finish"
            raise AnswerError(HTTPStatus.SERVICE_UNAVAILABLE, said) from error
        try:
            yield
        finally:
            lock.release()
