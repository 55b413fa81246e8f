"""The HTTP app of one account. Every request, known or not, arrives here and gets a line in the ledger."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from harness.gateway import messages, ollama
from harness.gateway.account import Account
from harness.gateway.allowlist import AllowList, NotAllowed
from harness.gateway.budget import RequestRefused
from harness.gateway.exchange import DRAIN_S, LEFT, Exchange, Send
from harness.gateway.ledger import LedgerEntry
from harness.gateway.messages import WireError
from harness.gateway.provider import AnswerError, Call, HeldBack
from harness.gateway.routes import Route, dialect, model_asked, route
from harness.gateway.wires.base import Wire, identified
from harness.http_intake import IntakeRefused

MAX_OPEN: Final = 8
"""The most model requests that an account answers at once, because answers are held in memory. Others wait."""


class AccountApp:
    """The ASGI app of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._slots = asyncio.Semaphore(MAX_OPEN)

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Answer one request. Stop if its client goes away."""
        query = scope["query_string"].decode("latin-1")
        path = scope["path"] + (f"?{query}" if query else "")
        with self._account.ledger.entry(scope["method"], path) as entry:
            try:
                finished = False
                async with anyio.create_task_group() as group:
                    await self._answer(_Client(Request(scope, receive), path, group), entry, send)
                    finished = True
                    group.cancel_scope.cancel()
                if not finished and entry.stop_reason is None:  # Codex leaves as soon as it has read the last event
                    entry.error = LEFT
            except asyncio.CancelledError:
                entry.error = "the session was closed before the answer was complete"
                raise
            except Exception as error:
                entry.error = f"a fault of the harness: {error!r}"
                raise

    async def _answer(self, client: _Client, entry: LedgerEntry, send: Send) -> None:
        request = client.request
        path = request.scope["path"]
        asked = route(path)
        response: Response | None
        try:
            body = await _read(request)
            self._account.ledger.received(entry, body)
            client.watch()
            if asked and request.method == "POST":
                response = await self._ask(asked, client, body, entry, send)
            else:
                response = self._tell(request, body)
        except ClientDisconnect:
            entry.error = "the client went away before its request was complete"
            return
        except AnswerError as error:
            entry.error = None if entry.refused else str(error)
            response = _error(request, error)
        if response:
            entry.status = response.status_code
            await response(request.scope, request.receive, send)

    async def _ask(self, asked: Route, client: _Client, body: bytes, entry: LedgerEntry, send: Send) -> Response | None:
        """Check a request to the model, and let the provider answer it."""
        account, wire = self._account, asked.wire
        entry.wire = wire.NAME
        if account.wire not in {None, wire.NAME}:
            raise AnswerError(404, f"{wire.NAME} is not served here: this session uses {account.wire}")
        allowed = account.allow_list(wire.NAME)
        try:
            parsed = account.placed(wire.parse(body, client.path))
        except WireError as error:
            raise AnswerError(400, str(error)) from None
        entry.model, entry.stream, entry.turn = parsed.model, parsed.stream, parsed.turn
        entry.max_output = parsed.max_output
        call = Call(
            request=parsed,
            wire=wire,
            path=client.path,
            headers=allowed.headers(dict(client.request.headers)),
            body=asked.body(body),
            workspace=account.workspace,
        )
        if asked.counts:
            entry.kind = "count"
            self._check(parsed)
            _check_listed(allowed, client.request, call)
            return _told(wire, wire.count(await self._count(call, entry)))
        entry.kind = "side" if parsed.side else "turn"
        account.ledger.asked(entry)
        self._check(parsed)
        _check_listed(allowed, client.request, call)
        account.asked(call)
        async with self._slots:
            await self._exchange(call, client, entry, send)
        return None

    def _check(self, asked: messages.ModelRequest) -> None:
        """Raise `AnswerError` if the request needs something that is not served here."""
        served = self._account.model
        if asked.model != served:
            raise AnswerError(404, f"model '{asked.model}' is not served here: this session uses '{served}'")
        if asked.answers > 1:
            raise AnswerError(400, f"the request asks for {asked.answers} answers, but each turn has one")
        if asked.hosted:
            said = f"the model's service would run or fetch {', '.join(asked.hosted)} over its own network"
            raise AnswerError(400, f"{said}, but this session is sealed")

    async def _count(self, call: Call, entry: LedgerEntry) -> int:
        """Let the provider count tokens. Until it has, the session waits for the model and not for the agent."""
        with _refusals(entry):
            self._account.count()
        self._account.ledger.started(entry)
        return await self._account.provider.count_tokens(call)

    async def _exchange(self, call: Call, client: _Client, entry: LedgerEntry, send: Send) -> None:
        """Reserve a request's worst case, and let the provider answer it."""
        account = self._account
        if entry.kind == "turn" and account.before_turn is not None:
            await anyio.to_thread.run_sync(account.before_turn)
        with _refusals(entry):
            try:
                admission = await account.reserve(call, entry)
            except HeldBack as held:
                account.held_back(entry, held)
                raise
        with admission:
            account.ledger.started(entry)
            client.exchange = Exchange(call, entry, account, admission)
            await client.exchange.run(account.provider, send)

    def _tell(self, request: Request, body: bytes) -> Response:
        """Answer a request that does not ask the model. Raise `AnswerError` 404 for an unknown path."""
        method, path = request.method, request.scope["path"]
        model, context = self._account.model, self._account.context
        about = model_asked(path) if method in {"GET", "HEAD"} else None
        if about is not None:
            return _told(_wire(request), self._known(_wire(request), about))
        match "GET" if method == "HEAD" else method, path:
            case "GET", "/":
                return PlainTextResponse("Ollama is running")
            case "GET", "/api/version":
                return JSONResponse(ollama.version())
            case "GET", "/api/tags":
                return JSONResponse(ollama.tags(model))
            case "GET", "/api/ps":
                return JSONResponse(ollama.ps(model, context))
            case "POST", "/api/show":
                if ollama.wanted(body) != model:
                    raise AnswerError(404, f"model '{ollama.wanted(body)}' not found")
                return JSONResponse(ollama.show(context))
        raise AnswerError(404, f"there is no {method} {path} here")

    def _known(self, wire: Wire, name: str) -> dict[str, Any]:
        """Return the list of models, or what is known about the model of this name. Raise `AnswerError` 404."""
        model = self._account.model
        if name not in {"", model}:
            raise AnswerError(404, f"model '{name}' is not served here: this session uses '{model}'")
        return wire.model(model) if name else wire.models(model)


class _Client:
    """The client of one request.

    `path` is its whole path, with the query. `exchange` is its request to the model, once that was sent.
    """

    def __init__(self, request: Request, path: str, group: anyio.abc.TaskGroup) -> None:
        self.request = request
        self.path = path
        self.exchange: Exchange | None = None
        self._group = group

    def watch(self) -> None:
        """Notice from now on when the client goes away. Its whole request must have come."""
        self._group.start_soon(self._watch)

    async def _watch(self) -> None:
        """Stop working for a client that goes away. But a request that was sent is answered, for a while."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        scope = self._group.cancel_scope
        if self.exchange is None or self.exchange.is_settled:
            scope.cancel()
        else:
            self.exchange.leave()
            scope.deadline = anyio.current_time() + DRAIN_S


def _check_listed(allowed: AllowList, request: Request, call: Call) -> None:
    """Raise `AnswerError` 400 if the request carries something that is not listed."""
    query = request.scope["query_string"].decode("latin-1")
    try:
        allowed.check(request.scope["path"], query, call.request.model, call.body)
    except NotAllowed as error:
        raise AnswerError(400, str(error)) from None


@contextmanager
def _refusals(entry: LedgerEntry) -> Iterator[None]:
    """Enter a refused request in the ledger, and answer it with the limit that was reached."""
    try:
        yield
    except RequestRefused as refusal:
        entry.refused = refusal.limit
        raise AnswerError(400, f"{refusal.limit}: {refusal}") from None


def _wire(request: Request) -> Wire:
    return dialect(request.scope["path"], request.headers)


def _told(wire: Wire, body: dict[str, Any]) -> Response:
    return JSONResponse(body, headers=identified(wire))


def _error(request: Request, error: AnswerError) -> Response:
    """Return the error in the form that the client expects."""
    if request.scope["path"].startswith("/api/"):
        body, headers = ollama.error(str(error)), dict[str, str]()
    else:
        wire = _wire(request)
        body = wire.error(error.status, str(error))
        headers = identified(wire, body)
    if isinstance(error, HeldBack):
        headers["retry-after"] = f"{math.ceil(error.retry_after_s)}"
    return JSONResponse(body, error.status, headers)


async def _read(request: Request) -> bytes:
    """Return the body. Raise `AnswerError` if it is refused."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
    except IntakeRefused as refusal:
        raise AnswerError(refusal.status, str(refusal)) from None
    return bytes(body)
