"""Names what went wrong, from the words of a CLI or of a model server. The rules are the same for every backend.

The wordings are data: one table for those that mean one thing whatever the HTTP status is, and one for weaker hints. A
new wording is a new row, with its source: the service, server or CLI that writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from backends.events import Error, ErrorKind, RateLimit

K = ErrorKind


class Wording(NamedTuple):
    """A regular expression, without regard to case, of what `source` says when something of this kind goes wrong."""

    kind: ErrorKind
    pattern: str
    source: str


OWN_FAULTS = (
    Wording(K.CLI, r"\bE(DQUOT|NOSPC|MFILE|NFILE|ROFS|ACCES|PERM)\b", "Node.js: the CLI's machine refused it"),
    Wording(
        K.CLI,
        r"\b(Type|Reference|Range)Error: (?!fetch failed|failed to fetch|load failed|terminated|network)",
        "JavaScript: a fault in the CLI's own code; the words left out are those of a failed fetch",
    ),
    Wording(
        K.CLI,
        r"(undefined|null) is not an object|cannot read propert(y|ies) of (undefined|null)|is not a function\b",
        "JavaScriptCore and V8: such a fault without its name",
    ),
    Wording(K.CLI, r"disk quota exceeded|no space left on device", "the system's own words, in Rust, Python and Go"),
    Wording(K.CLI, r"database (or disk is full|disk image is malformed|is locked)", "SQLite, as OpenCode uses it"),
    Wording(K.CLI, r"panicked at|heap out of memory|segmentation fault", "Rust, V8, C: the CLI's own crash"),
    Wording(K.CLI, r"check (the )?server logs", "OpenCode: the failure of its own local server"),
)
"""The CLI's own faults. A model server may say the same of itself, so an HTTP status rules them out."""

CLEAR_WORDINGS = (
    Wording(K.MODEL_REFUSED_TOOLS, r"does not support (tools|function)", "Ollama, OpenRouter"),
    Wording(K.MODEL_REFUSED_TOOLS, r"enable-auto-tool-choice|tools? param(eter)? requires", "vLLM; llama.cpp"),
    Wording(K.MODEL_REFUSED_TOOLS, r"tools? (use|calling|choice)? ?(is|are) not supported", "several services"),
    Wording(K.MODEL_REFUSED_TOOLS, r"support tool (use|calling)", "OpenRouter: no endpoint for the model does"),
    Wording(K.MALFORMED_TOOL_CALL, r"error parsing tool call|tool call parsing failed", "Ollama"),
    Wording(K.MALFORMED_TOOL_CALL, r"XML syntax error on line|can't find closing '\}'", "Ollama: its parsers of calls"),
    Wording(K.MALFORMED_TOOL_CALL, r"failed to generate a tool call", "LM Studio"),
    Wording(
        K.MALFORMED_TOOL_CALL, r"failed to parse (input at|tool call|arguments)|expected peg-\w+ format", "llama.cpp"
    ),
    Wording(K.MALFORMED_TOOL_CALL, r"extracting tool call|streaming tool call", "vLLM, SGLang: their tool parsers"),
    Wording(K.MALFORMED_TOOL_CALL, r"unexpected tokens? .{0,40}(message header|start token)", "vLLM: openai-harmony"),
    Wording(K.MALFORMED_TOOL_CALL, r"consecutive invalid-argument failures for the", "Kilo Code, after three"),
    Wording(K.MALFORMED_TOOL_CALL, r"tool_use_failed|failed to call a function|tool call validation failed", "Groq"),
    Wording(K.MALFORMED_TOOL_CALL, r"malformed_(function|tool)_(call|use)|unexpected_tool_call", "Google; Bedrock"),
    Wording(K.MALFORMED_TOOL_CALL, r"invalid sequence as part of ToolUse|malformed_model_output", "Bedrock"),
    Wording(
        K.MALFORMED_TOOL_CALL,
        r"(pars(e|ing)|decod(e|ing)|extract(ing)?|invalid|malformed) .{0,30}(?<!\bno )\b(tool|function).?calls?\b"
        r"|\b(tool|function).?calls?\b.{0,60}(could not be parsed|malformed|(invalid|(not|be) valid) JSON)"
        r"|(invalid character|unexpected end).{0,80}\b(tool|function).?calls?\b",
        "any other engine: a call, and that it could not be read",
    ),
    Wording(
        K.RATE_LIMIT,
        r"(tokens|requests)[ _]?per[ _]?(second|minute|min|hour|day)|\b[TR]P[MD]\b",
        "OpenAI, Groq, Google",
    ),
    Wording(K.RATE_LIMIT, r"throttl|too many \w+, please wait", "Bedrock, DashScope"),
    Wording(K.RATE_LIMIT, r"exceeded your current requests|requests?_per_base_model", "DashScope; Vertex AI"),
    Wording(K.RATE_LIMIT, r"reached .{0,30}max (organization )?(concurrency|[RT]P[MD])", "Kimi"),
    Wording(K.RATE_LIMIT, r"resource (has been )?exhausted", "Google: too many requests at a time"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"maximum context length|context.?length.(was.|is.)?exceeded",
        "OpenAI, OpenRouter, DeepSeek, vLLM",
    ),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"context window|context_window_exceeded|input tokens exceed|context.?overflow",
        "OpenAI, MiniMax, Codex, z.ai",
    ),
    Wording(K.CONTEXT_OVERFLOW, r"tokens in request more than max tokens allowed|prompt exceeds max", "z.ai"),
    Wording(K.CONTEXT_OVERFLOW, r"prompt.(is.)?too.long|exceeds? context limit|request_too_large", "Anthropic, Ollama"),
    Wording(K.CONTEXT_OVERFLOW, r"context limit reached|conversation (is )?too long", "Claude Code"),
    Wording(K.CONTEXT_OVERFLOW, r"input token count.{0,60}(exceeds|only supports)", "Google"),
    Wording(
        K.CONTEXT_OVERFLOW, r"input is too long|too many (input )?tokens|too many total text bytes", "Bedrock, Cohere"
    ),
    Wording(K.CONTEXT_OVERFLOW, r"maximum prompt length is", "xAI"),
    Wording(K.CONTEXT_OVERFLOW, r"token count of \d+ exceeds the limit|max_prompt_tokens_exceeded", "GitHub Copilot"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"range of input length should be|maximum (allowed )?input (token )?(length|limit)",
        "DashScope",
    ),
    Wording(K.CONTEXT_OVERFLOW, r"exceeded model token limit|token limit exceeded|input token length too long", "Kimi"),
    Wording(K.CONTEXT_OVERFLOW, r"exceed max message tokens", "Volcano Engine"),
    Wording(K.CONTEXT_OVERFLOW, r"reduce the length of the (messages|input|prompt)", "Groq, vLLM"),
    Wording(K.CONTEXT_OVERFLOW, r"longer than the (maximum model|model'?s context) length", "vLLM, SGLang"),
    Wording(K.CONTEXT_OVERFLOW, r"too long to fit into the model|must have less than \d+ `?tokens", "vLLM; TGI"),
    Wording(K.CONTEXT_OVERFLOW, r"exceeds? .{0,20}max_model_len|max_tokens must be at least 1, got -", "vLLM"),
    Wording(K.CONTEXT_OVERFLOW, r"`inputs` tokens \+ `max_new_tokens` must be", "TGI"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"exceed_context_size|available context size|context size has been exceeded|input is too large to process",
        "llama.cpp",
    ),
    Wording(K.CONTEXT_OVERFLOW, r"input length exceeds|exceeded max context length", "Ollama"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"(greater|longer) than the context length|n_keep.{0,12} >= n_ctx|context length of (only )?\d",
        "LM Studio",
    ),
    Wording(K.CONTEXT_OVERFLOW, r"with \d+ maximum context length", "Mistral"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"request entity too large|request (too large \(max|exceeds the maximum size)",
        "proxies, Claude Code: 413",
    ),
    Wording(K.CONTEXT_OVERFLOW, r"^4(00|13) (status code )?\(no body\)", "Cerebras"),
    Wording(
        K.CONTEXT_OVERFLOW,
        r"\b(prompt|inputs?|context|conversation|messages)\b.{0,80}\b(too (long|large)|exceed\w*"
        r"|(longer|greater|larger|more) than)\b.{0,80}\b(context|tokens?|length|window)\b",
        "any other service: what was sent, and that it is longer than something",
    ),
    Wording(K.REFUSED, r"usage (polic(y|ies)|guidelines)|content filter", "Anthropic, Claude Code, xAI, OpenAI"),
    Wording(K.REFUSED, r"content[_-]filter|content_policy|content management policy|invalid_prompt", "OpenAI, Azure"),
    Wording(K.REFUSED, r"flagged (as|for|by)|safety (system|reasons|filter)|responsible ai", "OpenAI, Copilot"),
    Wording(K.REFUSED, r"\binput was flagged|(response|prompt|output) (was|has been) filtered", "OpenRouter; Copilot"),
    Wording(K.REFUSED, r"safety (filters|measures) flagged|blocked by (our )?safeguards", "Claude Code"),
    Wording(K.REFUSED, r"\brefusal\b|model refused", "Anthropic: its stop reason"),
    Wording(
        K.REFUSED, r"(reason|blocked|stopped).{0,40}\b(safety|recitation|prohibited_content|blocklist|spii)\b", "Google"
    ),
    Wording(K.REFUSED, r"prohibited_content|prompt was blocked|\bblock_?reason\b", "Google"),
    Wording(K.REFUSED, r"guardrail.?(intervened|blocked)|blocked by .{0,20}guardrail", "Bedrock"),
    Wording(K.REFUSED, r"data.?inspection.?failed|inappropriate content", "DashScope"),
    Wording(K.REFUSED, r"content exists risk|considered high risk|unsafe or sensitive content", "DeepSeek, Kimi, z.ai"),
    Wording(K.REFUSED, r"\b(in|out)put new_sensitive", "MiniMax"),
    Wording(K.COMPACTION, r"compact(ion)? is thrashing", "Claude Code"),
    Wording(K.OUTPUT_TOKENS, r"output token maximum|output.?length", "Claude Code, OpenCode"),
    Wording(K.OUTPUT_TOKENS, r"(hit|reached|exceeded) .{0,30}output.?(token.?)?limit", "several services"),
    Wording(
        K.OUTPUT_TOKENS,
        r"(finish|stop|incomplete|\breturned).{0,20}reason\W{1,4}(length|max_(output_)?tokens)",
        "Codex, APIs",
    ),
    Wording(K.AUTH, r"api key not valid|API_KEY_INVALID|incorrect api key", "Google and xAI, with status 400"),
    Wording(K.AUTH, r"organization has been disabled|authorization header", "Anthropic and Copilot, with status 400"),
    Wording(K.RATE_LIMIT, r"rate.?limit|too many requests", "OpenAI, Anthropic, GitHub, with any status"),
    Wording(
        K.RATE_LIMIT,
        r"(usage|session|hourly|daily|weekly|monthly|\d+.?h(our)?).(limit|cap\b|quota)",
        "Claude Code, Codex, z.ai",
    ),
    Wording(K.RATE_LIMIT, r"\b(opus|sonnet|haiku|fable)( [\d.]+)?( usage)? limit", "Claude Code"),
    Wording(
        K.RATE_LIMIT,
        r"(hit|reached|exceeded) your (?!([\w.-]+ ){0,2}(spend|output|context|token))([\w.-]+ ){0,3}limit",
        "Claude Code, Codex, Kimi",
    ),
    Wording(K.RATE_LIMIT, r"\blimit reached\b.{0,20}\bresets?\b", "Claude Code"),
    Wording(K.RATE_LIMIT, r"out of (extra usage|usage)|used (up )?all (of )?your .{0,20}usage", "Claude Code"),
    Wording(K.RATE_LIMIT, r"exceeded .{0,30}request allowance", "GitHub Copilot"),
)
"""What servers and CLIs say about one cause only, whatever the status is. The first row that matches counts.

Rows whose messages may quote the model's own words, a tool call for example, come first.
"""

_BILLING = Wording(
    K.AUTH,
    r"(?<!disk )\bquota|insufficient_quota|check your plan|billing|credit balance|payment required|spend limit"
    r"|insufficient (account )?(credits|funds|balance)|out of credits|exceeded .{0,40}\bcredits"
    r"|requires more credits|have any credits|\barrearage\b|free tier .{0,40}exhausted",
    "OpenAI, Anthropic, Google, OpenRouter, DeepSeek, xAI, DashScope",
)
"""A quota that is used up. If something tells when there is more, it is a rate limit, or else a matter of billing."""

_WITHOUT_STATUS = (
    Wording(
        K.MCP, r"\bMCP (error|server|client|startup)s?\b.{0,200}(connect|clos|fail|timed? ?out|unavailable)", "MCP"
    ),
    Wording(K.MCP, r"\bMCPClientError\b|\bMCP server returned|failed .{0,60}\bMCP (server|client|tools)\b", "OpenCode"),
    Wording(
        K.MODEL_UNREACHABLE,
        r"unable to connect|(can|could )not connect|connection ?(was )?(refused|reset|closed)",
        "CLIs",
    ),
    Wording(K.MODEL_UNREACHABLE, r"connection ?error", "OpenAI's and Anthropic's client libraries"),
    Wording(K.MODEL_UNREACHABLE, r"ECONNREFUSED|ECONNRESET|ENOTFOUND|E(HOST|NET)UNREACH|ETIMEDOUT", "Node.js, Bun"),
    Wording(K.MODEL_UNREACHABLE, r"getaddrinfo|fetch failed|failed to fetch", "Node.js"),
    Wording(
        K.MODEL_UNREACHABLE, r"connect(ion)?[ _]time(d )?out|failed to open socket|typo in the url", "Node.js; Bun"
    ),
    Wording(K.MODEL_UNREACHABLE, r"\bcertificate\b", "Node.js: TLS, with a proxy between"),
    Wording(
        K.MODEL_UNREACHABLE,
        r"error sending request|error trying to connect|tcp connect error|dns error|socket hang up"
        r"|network is unreachable|no route to host",
        "reqwest, as Codex uses it; Node.js; the system",
    ),
    Wording(K.AUTH, r"not logged in|api.?key|unauthori[sz]ed|authenticat|/login", "CLIs"),
    Wording(K.AUTH, r"sign in again|log ?in again|(access|refresh) token|upgrade to (plus|pro)\b", "Codex"),
    Wording(K.AUTH, r"organization has disabled|subscription access", "Claude Code"),
    Wording(K.AUTH, r"\bcredentials\b|\btoken (\w+ ){0,5}expired|token refresh failed", "OpenRouter, AWS, Claude Code"),
    Wording(K.CLI, r"\bENOENT\b", "Node.js: a file that the CLI misses"),
    Wording(
        K.MODEL_ERROR,
        r"api error|overloaded|at capacity|server.?error|bad gateway|malformed response|JSON pars",
        "CLIs",
    ),
    Wording(
        K.MODEL_ERROR,
        r"high demand|provider returned error|upstream error|while processing your request|no endpoints found",
        "OpenAI, OpenRouter",
    ),
    Wording(
        K.MODEL_ERROR,
        r"\bmodel (is not loaded|has crashed|unloaded)|while running the model|runner .{0,20}(stopped|terminated)"
        r"|\bloading model\b|\bCUDA\b|\bEngine(Core|Dead)",
        "LM Studio, Ollama, llama.cpp, vLLM: a server that fell over, or still loads",
    ),
    Wording(K.MODEL_ERROR, r"\bmodel\b.{0,60}(does|may) not exist", "OpenAI, Claude Code"),
    Wording(K.MODEL_ERROR, r"time.?out|timed out|socket connection|stream|model.{0,60}not found", "CLIs"),
)
"""Weaker hints, for an error without an HTTP status. The first row that matches counts."""

_STATUS = {
    401: K.AUTH,
    402: K.AUTH,
    403: K.AUTH,
    413: K.CONTEXT_OVERFLOW,
    429: K.RATE_LIMIT,
    502: K.MODEL_UNREACHABLE,
    504: K.MODEL_UNREACHABLE,
}
"""Every other status is a `model_error`, which is retried. That includes 404: a server that still loads its model
(Ollama, vLLM behind a proxy) returns it for a while. A model that is really missing costs only the retries."""

_SAID_STATUS = re.compile(
    r"^\W{0,3}(?:\w*Error: |API Error: )?([45]\d\d)\b(?=:| [\w{\"(<]|$)|\bstatus(?:[ _]?code)?\"?[:= ] ?([45]\d\d)\b",
    re.IGNORECASE,
)
"""An HTTP status in a text: at its beginning ("401: no", "API Error: 500 oops"), or after the word."""

_RESET = re.compile(
    r"\b(?:(?:resets?|refresh(?:es)?|renews?)(?:[ _]?(?:at|in|on|after))?(?:_seconds)?"
    r"|(?:available|access)(?: again)? (?:at|in|on|after)"
    r"|(?:retry|try again)[ _-](?:after|in|at|on)(?:_seconds)?|retryDelay|wait(?: for)?|limit reached ?(?=\|))"
    r"(?:\\?\")?[:|]? ?(?:\\?\")?"
    r"((?:[^.;|·∙\n]|\.(?=\d)|(?<=\b[ap])\.(?=m)|(?<=\b[ap]\.m)\.){1,60})",
    re.IGNORECASE,
)
"""Matches words such as "resets at", and the rest of the sentence, which says when a limit ends."""

_RETRY_MS = re.compile(r"retry[ _-]after[ _-]ms(?:\\?\")?:? ?(?:\\?\")?(\d{1,9})\b", re.IGNORECASE)

_TIME = re.compile(
    r"\d|\b(?:midnight|noon|tomorrow|(?:an?|one) (?:second|minute|hour|day|week)"
    r"|mon|tue|wed|thu|fri|sat|sun|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
"""Matches whatever may be a part of a time."""

_TRACE = re.compile(
    r"^[ \t]*at [^\n]*|^[ \t]*File \"[^\n]*\", line \d+[^\n]*(?:\n[ \t]+[^\n]*)?|^(?:file://|node:)\S+:\d+\n[^\n]*"
    r"|^[ \t]*[\^~]+[ \t]*$|^[ \t]+(?:errno|code|syscall|path): [^\n]*|^[{} \t]+$|^(?:Node\.js|Bun) v\d[^\n]*"
    r"|^Traceback [^\n]*|^note: run with `RUST_BACKTRACE[^\n]*|\\n[ \t]+at (?:[^\\\n\"]|\\(?!n))*",
    re.MULTILINE,
)
"""The lines of a stack trace, also of one that a log holds as JSON: places in code and what stands there."""

_READ_CAP = 4096


def _compiled(rows: Iterable[Wording]) -> tuple[tuple[ErrorKind, re.Pattern[str]], ...]:
    return tuple((row.kind, re.compile(row.pattern, re.IGNORECASE | re.DOTALL)) for row in rows)


_OWN_RULES = _compiled(OWN_FAULTS)
_STRONG_RULES = _compiled(CLEAR_WORDINGS)
_WEAK_RULES = _compiled(_WITHOUT_STATUS)
((_, _BILLING_RULE),) = _compiled([_BILLING])


def error_kind(message: str, status: int | None = None, *, resets: bool = False) -> ErrorKind:
    """Return the kind of an error by its text and by the HTTP status that came with it, if any.

    A text that itself tells a status needs none. `resets` says that something beside the text tells when a limit ends.
    The lines of a stack trace decide nothing.
    """
    text = without_traces(message[:_READ_CAP])
    status = told_status(text) if status is None else status
    failed = status is not None and status >= 400
    rules = _STRONG_RULES if failed else (*_OWN_RULES, *_STRONG_RULES)
    if (kind := _first(rules, text)) is not None:
        return kind
    if (status or 0) < 500 and _BILLING_RULE.search(text):
        return K.RATE_LIMIT if resets or reset_hint(text) else K.AUTH
    if status is not None and failed:
        return _STATUS.get(status, K.MODEL_ERROR)
    return _first(_WEAK_RULES, text) or K.OTHER


def clear_kind(message: str) -> ErrorKind | None:
    """Return the kind of an error if its text names one cause only, whatever stands around it, or `None`."""
    return _first((*_OWN_RULES, *_STRONG_RULES), without_traces(message[:_READ_CAP]))


def _first(rules: Iterable[tuple[ErrorKind, re.Pattern[str]]], text: str) -> ErrorKind | None:
    return next((kind for kind, pattern in rules if pattern.search(text)), None)


def told_status(text: str) -> int | None:
    """Return the HTTP status that a text tells ("401: no", "unexpected status 500"), or `None`."""
    found = _SAID_STATUS.search(text[:_READ_CAP])
    return int(found[1] or found[2]) if found else None


def without_traces(text: str) -> str:
    """Return the text without the lines of stack traces: the words in code say nothing about what went wrong."""
    return _TRACE.sub("", text)


def error_events(
    kind: ErrorKind, message: str, status: int | None = None, *, session_id: str = "", resets_at: str | None = None
) -> tuple[RateLimit | Error, ...]:
    """Return the events of an error. A rate limit ends at the time in the message, or else at `resets_at`."""
    error = Error(kind=kind, message=message[:_READ_CAP], status=status, session_id=session_id)
    if kind is not ErrorKind.RATE_LIMIT:
        return (error,)
    return (RateLimit(resets_at=reset_hint(message) or resets_at, message=error.message), error)


def request_failure(message: str, status: int | None = None) -> tuple[RateLimit | Error, ...]:
    """Return the events of a failed model request. A failure that its words do not name is a `MODEL_ERROR`."""
    kind = error_kind(message, status)
    return error_events(K.MODEL_ERROR if kind is K.OTHER else kind, message, status)


def reset_hint(message: str) -> str | None:
    """Return when a limit ends, in the words of the message ("3pm (Europe/Zurich)", "20s"), or `None`."""
    text = message[:_READ_CAP]
    if found := _RETRY_MS.search(text):
        return f"{found[1]} ms"
    hints = (found[1].strip() for found in _RESET.finditer(text))
    return next(filter(_TIME.search, hints), None)
