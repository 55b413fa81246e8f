"""Classifies an error by the text of a CLI or of a model server. The rules are the same for every backend."""

from __future__ import annotations

import re

from backends.events import Error, ErrorKind, RateLimit

_STRONG: tuple[tuple[ErrorKind, str], ...] = (
    (ErrorKind.CONTEXT_OVERFLOW, r"prompt.(is.)?too.long|maximum context length|context.?(length.exceeded|overflow)"),
    (ErrorKind.CONTEXT_OVERFLOW, r"exceed_context_size|exceeds? the (available |maximum )?context|context window"),
    (ErrorKind.CONTEXT_OVERFLOW, r"exceed context limit|input token count .{0,40}exceeds"),
    (ErrorKind.AUTH, r"api key not valid|API_KEY_INVALID"),
    (ErrorKind.MODEL_REFUSED_TOOLS, r"does not support (tools|function)|enable-auto-tool-choice"),
    (ErrorKind.MODEL_REFUSED_TOOLS, r"tools? (use|calling|choice)? ?(is|are) not supported|support tool (use|calling)"),
    (ErrorKind.MODEL_REFUSED_TOOLS, r"tools? param(eter)? requires"),
    (ErrorKind.COMPACTION, r"compact(ion)? is thrashing"),
    (ErrorKind.OUTPUT_TOKENS, r"output token maximum|output.?length"),
)
"""Texts of servers and CLIs that have only one cause, whatever the status."""

_WITHOUT_STATUS: tuple[tuple[ErrorKind, str], ...] = (
    (ErrorKind.MODEL_UNREACHABLE, r"unable to connect|cannot connect|connection ?(was )?(refused|reset|error|closed)"),
    (ErrorKind.MODEL_UNREACHABLE, r"ECONNREFUSED|ECONNRESET|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT|getaddrinfo|fetch failed"),
    (ErrorKind.RATE_LIMIT, r"rate.?limit|too many requests|(usage|session|weekly) limit|hit your limit|quota"),
    (ErrorKind.AUTH, r"not logged in|api.?key|unauthori[sz]ed|authenticat|/login|credit balance"),
    (ErrorKind.MODEL_ERROR, r"api error|overloaded|server.?error|bad gateway|malformed response|JSON pars"),
    (ErrorKind.MODEL_ERROR, r"time.?out|timed out|socket connection|stream|model.{0,60}not found"),
)
"""Weaker hints, for an error without an HTTP status. The first match counts."""

_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.AUTH,
    403: ErrorKind.AUTH,
    413: ErrorKind.CONTEXT_OVERFLOW,
    429: ErrorKind.RATE_LIMIT,
    502: ErrorKind.MODEL_UNREACHABLE,
    504: ErrorKind.MODEL_UNREACHABLE,
}
"""Every other status is a `model_error`, which is retried. That includes 404: a server that still loads its model
(Ollama, vLLM behind a proxy) returns it for a while. A model that is really missing costs only two short retries."""

_RESET = re.compile(
    r"\b(?:resets?(?: at| in| on)?|(?:retry|try again)[ -](?:after|in|at)|limit reached ?\|):? ?"
    r"((?:[^.;|·\n]|\.(?=\d)){1,60})",
    re.IGNORECASE,
)
"""Matches words such as "resets at", and the rest of the sentence, which says when a limit ends."""

_READ_CAP = 4096


def _compiled(rules: tuple[tuple[ErrorKind, str], ...]) -> tuple[tuple[ErrorKind, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in rules)


_STRONG_RULES = _compiled(_STRONG)
_WEAK_RULES = _compiled(_WITHOUT_STATUS)


def error_kind(message: str, status: int | None = None) -> ErrorKind:
    """Return the kind of an error, given its text and its HTTP status, if it has one."""
    text = message[:_READ_CAP]
    for kind, pattern in _STRONG_RULES:
        if pattern.search(text):
            return kind
    if status is not None and status >= 400:
        return _STATUS.get(status, ErrorKind.MODEL_ERROR)
    for kind, pattern in _WEAK_RULES:
        if pattern.search(text):
            return kind
    return ErrorKind.OTHER


def error_events(
    kind: ErrorKind, message: str, status: int | None = None, *, session_id: str = "", resets_at: str | None = None
) -> tuple[RateLimit | Error, ...]:
    """Return the events of an error. A rate limit ends at the time in the message, or else at `resets_at`."""
    error = Error(kind=kind, message=message[:_READ_CAP], status=status, session_id=session_id)
    if kind is not ErrorKind.RATE_LIMIT:
        return (error,)
    return (RateLimit(resets_at=reset_hint(message) or resets_at, message=error.message), error)


def reset_hint(message: str) -> str | None:
    """Return when a limit ends, in the words of the message ("3pm (Europe/Zurich)", "20s"), or `None`."""
    found = _RESET.search(message[:_READ_CAP])
    return found.group(1).strip() if found else None
