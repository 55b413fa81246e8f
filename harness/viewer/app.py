"""The web app of `proctor view`. It answers GET requests from this machine that know the token, and no others."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.http_intake import AsgiApp, Message
from harness.page.write import page_pieces, policy_of, scripts_of_page
from harness.viewer.source import RunsSource

_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_KEY = re.compile(r"[0-9a-f]{16}")


def make_app(source: RunsSource, token: str) -> AsgiApp:
    """Return the app. Everything is below `/TOKEN/`. Raise `LibrariesMissing`."""
    scripts = scripts_of_page("live", "running", "follow")
    policy = f"{policy_of(scripts)}; connect-src 'self'"
    page = "".join(page_pieces(scripts, policy, []))

    async def shown(_: Request) -> Response:
        return HTMLResponse(page)

    async def details(request: Request) -> Response:
        key = request.path_params["key"]
        found = await run_in_threadpool(source.details, key) if _KEY.fullmatch(key) else None
        return PlainTextResponse("there is no such case\n", 404) if found is None else _json(found)

    routes = [
        Route("/", shown),
        Route("/state", _answering(source.state)),
        Route("/overview", _answering(source.overview)),
        Route("/details/{key}", details),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return _Guard(GZipMiddleware(app, minimum_size=4096, compresslevel=1), token, policy)


def _answering(ask: Callable[[str], bytes]) -> Callable[[Request], Any]:
    """Return an endpoint that asks about the runs which the query `runs` chooses."""

    async def answer(request: Request) -> Response:
        return _json(await run_in_threadpool(ask, request.query_params.get("runs", "")))

    return answer


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")


class _Guard:
    """Lets only requests pass that come to a loopback name, with the token, and that read.

    A page elsewhere can have its name lead to this machine (DNS rebinding), so the name that a browser asked for must
    be one of the loopback interface.
    """

    def __init__(self, app: AsgiApp, token: str, policy: str) -> None:
        self._app = app
        self._prefix = f"/{token}/".encode()
        headers = {
            "cache-control": "no-store",
            "content-security-policy": f"{policy}; frame-ancestors 'none'; form-action 'none'",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, sending)
            return
        path = "/" + scope["raw_path"][len(self._prefix) :].decode("ascii", "replace")
        await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, sending)

    def _refusal(self, scope: Message) -> Response | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _LOOPBACK.fullmatch(hosts[0]):
            return PlainTextResponse("ask for this page at 127.0.0.1 or localhost\n", 403)
        given = scope["raw_path"][: len(self._prefix)]
        if not hmac.compare_digest(given, self._prefix):
            return PlainTextResponse("not found\n", 404)
        if scope["method"] != "GET":
            return PlainTextResponse("this page can only be read\n", 405, headers={"allow": "GET"})
        return None
