"""Asks a model once, without tools, and writes the files in its answer: `program.py SETTINGS_FILE < PROMPT`.

This program runs inside the sandbox as a coding-agent CLI does, so it needs nothing but Python's standard library. It
prints one JSON object a line: `direct.started`, a `direct.answer` for each completion, and `direct.finished` or
`direct.failed`. The adapter copies its source into the home of a session.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

PROGRAM = "approach.py"
_EXCERPT = 4096
_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*$")
_NAMED = re.compile(r"^\s*#\s*file:\s*(\S+)\s*$", re.IGNORECASE)
_PYTHON = {"", "python", "python3", "py"}
_OUTPUT_LIMIT, _CONTEXT_LIMIT, _REFUSED, _END = "output_limit", "context_limit", "refused", "end"


class Failed(Exception):
    """The model gave no whole answer. `status` is the HTTP status, if there is one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Asking(NamedTuple):
    """A request over one wire: its path, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Completion:
    """An answer so far: its text, its reasoning, why it ended ("" while it has not) and the tokens that it used."""

    def __init__(self) -> None:
        self.text = ""
        self.thinking = ""
        self.stop = ""
        self.usage: dict[str, int] = {}


def asking(wire: str, model: str, prompt: str, instructions: str, max_output: int) -> Asking:
    """Return the request for a streamed completion without tools. `instructions` is the system prompt, or empty."""
    user = {"role": "user", "content": prompt}
    system = [{"role": "system", "content": instructions}] if instructions else []
    bearer = {"authorization": "Bearer sealed"}
    if wire == "openai_chat":
        options = {"max_tokens": max_output, "stream_options": {"include_usage": True}}
        body = {"model": model, "messages": [*system, user], "stream": True, **options}
        return Asking("/v1/chat/completions", bearer, body)
    if wire == "anthropic_messages":
        body = {"model": model, "max_tokens": max_output, "messages": [user], "stream": True}
        body |= {"system": instructions} if instructions else {}
        return Asking("/v1/messages", {"x-api-key": "sealed", "anthropic-version": "2023-06-01"}, body)
    if wire == "openai_responses":
        body = {"model": model, "input": [user], "max_output_tokens": max_output, "store": False, "stream": True}
        body |= {"instructions": instructions} if instructions else {}
        return Asking("/v1/responses", bearer, body)
    body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    body |= {"systemInstruction": {"parts": [{"text": instructions}]}} if instructions else {}
    body |= {"generationConfig": {"maxOutputTokens": max_output}}
    path = f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
    return Asking(path, {"x-goog-api-key": "sealed"}, body)


def events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream of server-sent events. Raise `Failed` for one that is not JSON."""
    data: list[str] = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line.startswith("data:"):
            data.append(line[5:].lstrip(" "))
        elif not line and data:
            yield from _event("\n".join(data))
            data = []
    if data:
        yield from _event("\n".join(data))


def _event(text: str) -> Iterator[dict[str, Any]]:
    if text.strip() == "[DONE]":
        return
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Failed(f"the answer is no valid stream: {error}: {text[:200]}") from None
    if isinstance(event, dict):
        yield event


def read(wire: str, event: dict[str, Any], answer: Completion) -> None:
    """Add one event of the wire to the answer. Raise `Failed` if it tells an error."""
    fault = event.get("error")
    if fault and wire != "openai_responses":
        raise Failed(_said(event))
    {"openai_chat": _chat, "anthropic_messages": _messages, "openai_responses": _responses}.get(wire, _google)(
        event, answer
    )


def _chat(event: dict[str, Any], answer: Completion) -> None:
    for choice in _list(event.get("choices"))[:1]:
        delta = _dict(choice.get("delta"))
        answer.text += _text(delta.get("content")) + _text(delta.get("refusal"))
        answer.thinking += _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        reason = choice.get("finish_reason")
        if reason:
            answer.stop = {"length": _OUTPUT_LIMIT, "content_filter": _REFUSED}.get(str(reason), _END)
    used = _dict(event.get("usage"))
    if used:
        cached = _dict(used.get("prompt_tokens_details")).get("cached_tokens")
        _count(answer, used.get("prompt_tokens"), used.get("completion_tokens"), cached)


def _messages(event: dict[str, Any], answer: Completion) -> None:
    delta = _dict(event.get("delta"))
    answer.text += _text(delta.get("text"))
    answer.thinking += _text(delta.get("thinking"))
    reason = delta.get("stop_reason")
    if reason:
        limits = {"max_tokens": _OUTPUT_LIMIT, "model_context_window_exceeded": _CONTEXT_LIMIT, "refusal": _REFUSED}
        answer.stop = limits.get(str(reason), _END)
    used = _dict(event.get("usage")) or _dict(_dict(event.get("message")).get("usage"))
    names = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cache_read_input_tokens": "cache_read_tokens",
        "cache_creation_input_tokens": "cache_write_tokens",
    }
    answer.usage |= {ours: used[theirs] for theirs, ours in names.items() if isinstance(used.get(theirs), int)}


def _responses(event: dict[str, Any], answer: Completion) -> None:
    kind = event.get("type")
    response = _dict(event.get("response"))
    if kind in {"response.output_text.delta", "response.refusal.delta"}:
        answer.text += _text(event.get("delta"))
    elif kind in {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}:
        answer.thinking += _text(event.get("delta"))
    elif kind in {"error", "response.failed"}:
        raise Failed(_said(response or event))
    elif kind in {"response.completed", "response.incomplete"}:
        reason = _dict(response.get("incomplete_details")).get("reason")
        answer.stop = {"max_output_tokens": _OUTPUT_LIMIT, "content_filter": _REFUSED}.get(str(reason), _END)
        used = _dict(response.get("usage"))
        cached = _dict(used.get("input_tokens_details")).get("cached_tokens")
        _count(answer, used.get("input_tokens"), used.get("output_tokens"), cached)


def _google(event: dict[str, Any], answer: Completion) -> None:
    for candidate in _list(event.get("candidates"))[:1]:
        for part in _list(_dict(candidate.get("content")).get("parts")):
            if part.get("thought"):
                answer.thinking += _text(part.get("text"))
            else:
                answer.text += _text(part.get("text"))
        reason = candidate.get("finishReason")
        if reason:
            answer.stop = {"STOP": _END, "MAX_TOKENS": _OUTPUT_LIMIT}.get(reason, _REFUSED)
    blocked = _dict(event.get("promptFeedback")).get("blockReason")
    if blocked:
        raise Failed(f"the prompt was blocked: {blocked}")
    used = _dict(event.get("usageMetadata"))
    if used:
        output = _number(used.get("candidatesTokenCount")) + _number(used.get("thoughtsTokenCount"))
        _count(answer, used.get("promptTokenCount"), output, used.get("cachedContentTokenCount"))


def _count(answer: Completion, prompt: Any, output: Any, cached: Any) -> None:
    read_from_cache = min(_number(cached), _number(prompt))
    counts = (_number(prompt) - read_from_cache, _number(output), read_from_cache)
    answer.usage = dict(zip(("input_tokens", "output_tokens", "cache_read_tokens"), counts, strict=True))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _said(body: dict[str, Any]) -> str:
    """Return what the body of an error says."""
    error = body.get("error")
    parts = error if isinstance(error, dict) else body
    said = [str(parts[name]) for name in ("type", "code", "status", "message") if parts.get(name)]
    return ": ".join(said) or json.dumps(body)[:_EXCERPT]


def ask(base: str, wire: str, request: Asking) -> Completion:
    """Send a request and return the whole answer. Raise `Failed` if there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"content-type": "application/json", **request.headers}
    body = json.dumps(request.body).encode()
    answer = Completion()
    try:
        with opener.open(urllib.request.Request(base + request.path, body, headers)) as response:  # noqa: S310 - http
            kind = response.headers.get("content-type", "no type")
            if not kind.startswith("text/event-stream"):
                said = response.read(_EXCERPT).decode("utf-8", "replace")
                raise Failed(f"the answer is {kind} and not a stream: {said[:200]}")
            for event in events(response):
                read(wire, event, answer)
    except urllib.error.HTTPError as error:
        raise Failed(_refusal(error), error.code) from None
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"connection error: {error!r}") from None
    if not answer.stop:
        raise Failed("the answer broke off before its end")
    return answer


def _refusal(error: urllib.error.HTTPError) -> str:
    text = error.read(_EXCERPT).decode("utf-8", "replace")
    try:
        return _said(json.loads(text))
    except (ValueError, AttributeError):
        return text


class CodeBlock(NamedTuple):
    """A fenced code block: the name in its first line ("" if there is none), its language, and its text."""

    name: str
    language: str
    text: str


def blocks(text: str) -> list[CodeBlock]:
    """Return the fenced code blocks of a text. One without an end goes on to the end of the text."""
    found: list[CodeBlock] = []
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence, language, lines = mark[1], mark[2].lower(), []
        elif fence and mark and not mark[2] and mark[1].startswith(fence):
            found.append(_block(language, lines))
            fence = ""
        elif fence:
            lines.append(line)
    return [*found, _block(language, lines)] if fence else found


def _block(language: str, lines: list[str]) -> CodeBlock:
    name = _NAMED.match(lines[0]) if lines else None
    return CodeBlock(name[1] if name else "", language, "\n".join(lines) + "\n")


def files(text: str) -> dict[str, str]:
    """Return the files in an answer, by name.

    A block that begins with `# file: NAME` is that file. A Python block without a name is `approach.py`, unless another
    block has this name. Of several, it is the last one that defines `GeneratedApproach`, or else the last one. An
    answer that is a program without any block is `approach.py` itself.
    """
    every = blocks(text)
    found = {block.name: block.text for block in every if is_safe(block.name)}
    if PROGRAM in found:
        return found
    plain = [block.text for block in every if not block.name and block.language in _PYTHON]
    plain = [one for one in plain if "class GeneratedApproach" in one] or plain
    if not every and "class GeneratedApproach" in text:
        plain = [text]
    return found | ({PROGRAM: plain[-1]} if plain else {})


def is_safe(name: str) -> bool:
    """Return whether a file of this name lies below the folder of the submission."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and bool(path.parts) and not any(p.startswith(".") for p in path.parts)


def write(folder: Path, written: dict[str, str]) -> list[str]:
    """Write the files, and return the names of those that could not be written."""
    faults = []
    for name, text in written.items():
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except (OSError, ValueError):
            faults.append(name)
    return faults


def main(settings: dict[str, Any], prompt: str) -> int:
    """Ask for each candidate, write its files into its folder, and return the exit code."""
    _say("started", model=settings["model"])
    wire = settings["wire"]
    request = asking(wire, settings["model"], prompt, settings["instructions"], settings["max_output"])
    stops = []
    for number, folder in enumerate(settings["folders"], 1):
        try:
            answer = ask(settings["url"], wire, request)
        except Failed as error:
            _say("failed", message=str(error), status=error.status)
            return 1
        stops.append(answer.stop)
        lost = write(Path(folder), files(answer.text))
        said = {"text": answer.text, "thinking": answer.thinking, "usage": answer.usage, "lost": lost}
        _say("answer", turn=str(number), stop=answer.stop, model=settings["model"], **said)
    _say("finished", reason=_END if _END in stops else stops[-1])
    return 0


def _say(kind: str, **values: Any) -> None:
    print(json.dumps({"type": f"direct.{kind}", **values}), flush=True)


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a file here
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.stdin.read()))
