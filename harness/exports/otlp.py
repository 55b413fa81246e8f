"""Writes spans as OTLP: as lines of JSON in a file, or to a service over HTTP."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from harness.exports.cases import ExportedCase
from harness.exports.otel import SCHEMA_URL, attribute_list, spans
from harness.exports.plain import json_bytes
from harness.exports.timeline import timed_case
from harness.lazy import LazyModule
from harness.packaged import harness_version
from harness.whole_file import written

httpx2 = LazyModule("httpx2")

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
"""The variable that OpenTelemetry defines for the headers of requests, such as keys."""

_MOST_BYTES = 2_000_000
"""About how many bytes of spans one request or line has. One span is never divided."""

_AGAIN = {429, 502, 503, 504}
"""The statuses after which OTLP lets a client try again."""
_TRIES = 4
_LONGEST_WAIT_S = 30.0
_PATH = "/v1/traces"


class OtlpError(Exception):
    """Spans cannot be sent. The message says where to, and why."""


def span_requests(cases: Iterable[ExportedCase]) -> Iterator[bytes]:
    """Yield the spans of cases as requests of OTLP (`ExportTraceServiceRequest`) in JSON."""
    for case in cases:
        batch, size = list[bytes](), 0
        for span in spans(timed_case(case)):
            batch.append(json_bytes(span))
            size += len(batch[-1])
            if size > _MOST_BYTES:
                yield _request(case, batch)
                batch, size = [], 0
        if batch:
            yield _request(case, batch)


def write_spans(cases: Iterable[ExportedCase], path: Path) -> None:
    """Write the spans of cases to a file, a request on each line. Raise `OSError` if it cannot be written."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            file.writelines(request + b"\n" for request in span_requests(cases))

    written(path, write)


def send_spans(cases: Iterable[ExportedCase], address: str, wait: Callable[[float], None] = time.sleep) -> None:
    """Send the spans of cases to a service, with the headers that `OTEL_EXPORTER_OTLP_HEADERS` names.

    A busy service is asked again a few times. Raise `OtlpError` if the address cannot be used, or if the service
    refuses spans.
    """
    url = traces_url(address)
    headers = _headers(os.environ.get(HEADERS, "")) | {"content-type": "application/json"}
    with httpx2.Client(timeout=30.0) as client:
        for request in span_requests(cases):
            _send(lambda content=request: client.post(url, content=content, headers=headers), url, wait)  # type: ignore[misc]


def traces_url(address: str) -> str:
    """Return the address for traces: `address`, with `/v1/traces` behind it unless it ends so.

    Raise `OtlpError` if it is not an HTTP address, or has a password.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise OtlpError(f"{address}: not an address of HTTP, such as http://localhost:4318")
    if parts.username is not None or parts.password is not None:
        raise OtlpError(f"the address for {parts.hostname} has a user or a password: put what it needs into {HEADERS}")
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_PATH) else path + _PATH, fragment="").geturl()


def _request(case: ExportedCase, batch: list[bytes]) -> bytes:
    resource = {
        "service.name": "proctor",
        "service.version": case.record.versions.harness,
        "proctor.run": case.run,
    }
    head: dict[str, Any] = {"attributes": attribute_list(dict(resource))}
    scope = {"name": "proctor", "version": harness_version()}
    return b"".join(
        (
            b'{"resourceSpans":[{"resource":',
            json_bytes(head),
            b',"scopeSpans":[{"scope":',
            json_bytes(scope),
            b',"spans":[',
            b",".join(batch),
            b'],"schemaUrl":',
            json_bytes(SCHEMA_URL),
            b"}]}]}",
        )
    )


def _send(post: Callable[[], Any], url: str, wait: Callable[[float], None]) -> None:
    for again in range(_TRIES):
        try:
            answer = post()
        except httpx2.HTTPError as error:
            raise OtlpError(f"{url}: {error or type(error).__name__}") from error
        if answer.status_code not in _AGAIN or again == _TRIES - 1:
            break
        wait(_pause(answer.headers.get("retry-after"), again))
    if not answer.is_success:
        raise OtlpError(f"{url}: the service answered {answer.status_code}: {answer.text[:200]}")
    if refused := _refused(answer.content):
        raise OtlpError(f"{url}: the service refused spans: {refused[:200]}")


def _pause(told: str | None, again: int) -> float:
    """Return the seconds to wait: as the service says, or else longer each time."""
    try:
        return min(max(float(told or ""), 0.0), _LONGEST_WAIT_S)
    except ValueError:
        return float(2**again)


def _refused(body: bytes) -> str | None:
    """Return what an answer says of spans that the service did not take, or `None` if it took all."""
    try:
        partial = json.loads(body)["partialSuccess"]
        count = int(partial.get("rejectedSpans") or 0)
        return f"{count}: {partial.get('errorMessage', '')}" if count else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # an answer needs no body


def _headers(text: str) -> dict[str, str]:
    """Return the headers in `name=value,name=value`, where values are percent-encoded. Raise `OtlpError`."""
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise OtlpError(f"{HEADERS}: write name=value, with commas between several")
        found[name.strip()] = unquote(value.strip())
    return found
