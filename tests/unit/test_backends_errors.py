"""What each service, model server and CLI says when something goes wrong, and what we make of it."""

from __future__ import annotations

import re

import pytest

from backends.events import ErrorKind as K
from backends.reading import errors
from backends.reading.errors import error_kind, told_status, without_traces

OVERFLOW = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
    "context_length_exceeded",
    "prompt is too long: 213462 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000",
    "request_too_large: Request exceeds the maximum size",
    "Context limit reached · /compact or /clear to continue",
    "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
    "Unable to submit request because the input token count is 40000 but the model only supports up to 32768.",
    "ValidationException: Input is too long for requested model.",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "prompt token count of 129923 exceeds the limit of 128000",
    "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)",
    "tokens in request more than max tokens allowed",
    "Please reduce the length of the messages or completion.",
    "The decoder prompt (length 40213) is longer than the maximum model length of 32768.",
    "The prompt (total length 40213) is too long to fit into the model (context length 32768).",
    "The input (12345 tokens) is longer than the model's context length (8192 tokens).",
    "the request exceeds the available context size, try increasing it",
    "Context size has been exceeded.",
    "prompt too long; exceeded max context length by 12 tokens",
    "the input length exceeds the context length",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Trying to keep the first 9000 tokens, but the model is loaded with context length of only 4096 tokens.",
    "Cannot truncate prompt with n_keep (5000) >= n_ctx (4096)",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "Request Entity Too Large",
    "400 status code (no body)",
    "The context length was exceeded.",
    "Unhandled stop reason: model_context_window_exceeded",
    "Input token length too long",
    "Total tokens of image and text exceed max message tokens",
    "This model's maximum input length is 30720 tokens",
    "too many total text bytes: 9000000 > 8000000",
    "max_tokens must be at least 1, got -1234.",
    "Failed to generate: prompt length 5000 exceeds max_model_len 4096",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
    "input is too large to process. increase the physical batch size",
    "Request too large (max 32MB). Try with a smaller file.",
    "Sorry: the whole conversation is now larger than the 9,000 tokens that we serve.",
]
REFUSED = [
    "API Error: Claude Code is unable to respond to this request, which appears to violate our Usage Policy",
    "Output blocked by content filtering policy",
    "Provider finish_reason: content_filter",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "Invalid prompt: your prompt was flagged as potentially harmful.",
    "This content was flagged for possible cybersecurity risk.",
    "stop_reason: refusal",
    "Content violates usage guidelines.",
    "The response was blocked, finish reason SAFETY",
    "The prompt was blocked: PROHIBITED_CONTENT",
    "guardrail_intervened",
    "DataInspectionFailed: Output data may contain inappropriate content.",
    "Content Exists Risk",
    "Provider stopped the response: SAFETY",
    "The model blocked the request. blockReason: OTHER",
    "Blocked by guardrail",
    "Response was filtered. Please rephrase your prompt",
    "Sonnet 4.5's safety filters flagged this chat.",
    "Opus 4.6's safety measures flagged this message for cybersecurity topics",
    "x requires moderation. Your input was flagged.",
    "Input new_sensitive (1026)",
]
MALFORMED = [
    'error parsing tool call: raw=\'{"cmd":"echo rate limit 429, prompt is too long", err=unexpected end of JSON input',
    "gemma4 tool call parsing failed",
    "Failed to parse input at pos 184: <tool_call>",
    "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error at line 1",
    "The model produced output that does not match the expected peg-native format",
    "Error in extracting tool call from response.",
    "unexpected tokens remaining in message header: ['to=functions.bash']",
    "tool_use_failed: Failed to call a function. Please adjust your prompt.",
    'Stopped after 3 consecutive invalid-argument failures for the "bash" tool.',
    "Response stopped: MALFORMED_FUNCTION_CALL",
    "Model produced invalid sequence as part of ToolUse. Please refer to the model tool use guide.",
    "The engine met a malformed tool call.",
    "XML syntax error on line 5: element <function> closed by </parameter>",
    "Value looks like object, but can't find closing '}' symbol",
    "Failed to generate a tool call (this tool call will be omitted from the response)",
    "Unexpected token 200012 while expecting start token 200006",
    "Failed to parse arguments: [json.exception.parse_error.101] parse error at line 1, column 6",
    "Model tool call arguments must be valid JSON",
    "invalid character '}' looking for beginning of object key string in tool call",
]
RATE = [
    "Request too large for model `m` on tokens per minute (TPM): Limit 8000, Requested 10412",
    "Quota exceeded for quota metric 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'",
    "ThrottlingException: Too many tokens, please wait before trying again.",
    "Too many tokens, please wait before trying again.",
    "Your account reached max organization concurrency: 1, please try again after 1 seconds",
    "You exceeded your current requests list.",
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model",
    "Resource has been exhausted (e.g. check quota).",
    "You have exceeded a secondary rate limit",
    "5-hour limit reached ∙ resets 3pm",
    "Opus limit reached · resets 3pm",
    "Weekly limit reached · resets Nov 25 at 5am",
    "You've hit your monthly limit",
    "You're out of extra usage · resets 3am (Europe/Zurich)",
    "The usage limit has been reached",
    "Opus limit",
    "Opus 4.5 limit reached ∙ resets 3am",
    "Limit reached · resets 3pm",
    "monthly limit",
    "out of extra usage ∙ resets 3am",
    "You've used all your included usage",
    "You've reached your Fable 5 limit",
    "You have reached your specified API usage limits. You will regain access on 2026-05-01 at 00:00 UTC.",
    "You have exhausted your daily quota on this model.",
    "You've reached your usage cap",
    "You have exceeded your premium request allowance.",
    "You've hit your usage limit. Visit the settings page or try again at Dec 3rd, 2026 4:15 AM.",
    "You exceeded your current quota, please check your plan and billing details. Please retry in 26.1s.",
]
BILLING = [
    "You exceeded your current quota, please check your plan and billing details.",
    "insufficient_quota",
    "Your credit balance is too low to access the API.",
    "This request requires more credits: insufficient credits",
    "Insufficient Balance",
    "Insufficient account balance",
    "This request requires more credits, or fewer max_tokens.",
    "Access denied, please make sure your account is in good standing. Arrearage",
    "Your newly created team doesn't have any credits or licenses yet.",
    "You've hit your monthly spend limit.",
    "You have exceeded your monthly included credits for Inference Providers.",
]
OWN = [
    "Error: EDQUOT: disk quota exceeded, write",
    "Error: Disk quota exceeded (os error 122)",
    "ENOSPC: no space left on device, rate limit",
    "TypeError: Cannot read properties of undefined (reading 'input_tokens')",
    "thread 'main' panicked at core/src/quota.rs:1:2: too many requests",
    "Unexpected server error. Check server logs for details.",
    "undefined is not an object (evaluating 'response.usage.input_tokens')",
    "Cannot read properties of undefined (reading 'rate_limit')",
    "SQLITE_FULL: database or disk is full",
]
NO_TOOLS = [
    "registry.ollama.ai/library/x does not support tools",
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "tool calling is not supported by this model",
    "No endpoints found that support tool use.",
]
BY_KIND = [
    *((text, status, K.CONTEXT_OVERFLOW) for text in OVERFLOW for status in (None, 400, 413, 500)),
    *((text, status, K.REFUSED) for text in REFUSED for status in (None, 400, 403)),
    *((text, status, K.MALFORMED_TOOL_CALL) for text in MALFORMED for status in (None, 400, 500)),
    *((text, status, K.RATE_LIMIT) for text in RATE for status in (None, 403, 413, 429)),
    *((text, status, K.AUTH) for text in BILLING for status in (None, 402, 403, 429)),
    *((text, None, K.CLI) for text in OWN),
    *((text, status, K.MODEL_REFUSED_TOOLS) for text in NO_TOOLS for status in (None, 400, 404)),
    ("compaction is thrashing", None, K.COMPACTION),
    ("exceeded the 32000 output token maximum", None, K.OUTPUT_TOKENS),
    ("Error: MessageOutputLengthError", None, K.OUTPUT_TOKENS),
    ("The response reached the model's output token limit.", None, K.OUTPUT_TOKENS),
    ("Incomplete response returned, reason: max_output_tokens", None, K.OUTPUT_TOKENS),
    ("stop_reason: max_tokens", None, K.OUTPUT_TOKENS),
    ("error sending request for url (http://127.0.0.1:9/v1/responses)", None, K.MODEL_UNREACHABLE),
    ("Your access token could not be refreshed. Please log out and sign in again.", None, K.AUTH),
    ("To use Codex with your ChatGPT plan, upgrade to Plus.", None, K.AUTH),
    ("Your organization has disabled Claude subscription access", None, K.AUTH),
    ("API key not valid. Please pass a valid API key.", 400, K.AUTH),
    ("Incorrect API key provided: xa***y.", 400, K.AUTH),
    ("This organization has been disabled.", 400, K.AUTH),
    ("No auth credentials found", None, K.AUTH),
    ("OAuth token has expired. Please obtain a new token.", None, K.AUTH),
    ("TypeError: Failed to fetch", None, K.MODEL_UNREACHABLE),
    ("Could not connect to local model provider at http://127.0.0.1:9/v1.", None, K.MODEL_UNREACHABLE),
    ("connect ENETUNREACH 10.0.0.1:443", None, K.MODEL_UNREACHABLE),
    ("Connect Timeout Error (attempted address: x:443)", None, K.MODEL_UNREACHABLE),
    ("Was there a typo in the url or port?", None, K.MODEL_UNREACHABLE),
    ("self signed certificate in certificate chain", None, K.MODEL_UNREACHABLE),
    ("Provider returned error", None, K.MODEL_ERROR),
    ("An error occurred while processing your request.", None, K.MODEL_ERROR),
    ("model runner has unexpectedly stopped, check ollama server logs for details", None, K.MODEL_ERROR),
    ("The model has crashed without additional information.", None, K.MODEL_ERROR),
    ("EngineCore encountered an issue. See stack trace (above).", None, K.MODEL_ERROR),
    ("There's an issue with the selected model (x). It may not exist.", None, K.MODEL_ERROR),
    ("ENOENT: no such file or directory, open 'stream.json'", None, K.CLI),
    ("MCPClientError: Attempted to send a request from a closed client", None, K.MCP),
    ("Failed to get tools from MCP server environment", None, K.MCP),
]


@pytest.mark.parametrize(("message", "status", "kind"), BY_KIND)
def test_reads_what_a_service_says(message: str, status: int | None, kind: K) -> None:
    assert error_kind(message, status) is kind


@pytest.mark.parametrize("row", errors.CLEAR_WORDINGS + errors.OWN_FAULTS, ids=lambda row: row.pattern)
def test_every_row_of_the_table_has_an_example(row: errors.Wording) -> None:
    examples = [message for message, _, kind in BY_KIND if kind is row.kind]
    assert any(re.search(row.pattern, message, re.IGNORECASE | re.DOTALL) for message in examples)


@pytest.mark.parametrize("message", OWN)
def test_a_fault_that_a_server_reports_of_itself_is_not_the_clis(message: str) -> None:
    assert error_kind(message, 500) is not K.CLI


def test_a_fetch_that_failed_is_no_fault_of_the_cli() -> None:
    assert error_kind("TypeError: fetch failed\n    at node:internal/deps/undici:1:1") is K.MODEL_UNREACHABLE


@pytest.mark.parametrize(
    "message",
    [
        "The number of tools (200) exceeds the limit of 128.",
        "messages.0.content.1.image: image exceeds 5 MB maximum",
        "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens",
        "Invalid tool_call_id: it belongs to no call",
        "Invalid value: 'tool'. No tool call found for function call output with call_id call_x.",
        "the maximum value for `max_tokens` is less than the `context_window` for this model",
        "max_output_tokens: integer above maximum value",
    ],
)
def test_a_bad_request_is_an_error_of_the_model_server(message: str) -> None:
    assert error_kind(message, 400) is K.MODEL_ERROR


def test_a_quota_with_a_reset_beside_the_text_is_a_rate_limit() -> None:
    assert error_kind("quota exceeded", 429, resets=True) is K.RATE_LIMIT


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ('401: {"type":"invalid_request_error","message":"no"}', 401, K.AUTH),
        ("401 no", 401, K.AUTH),
        ('API Error: 529 {"type":"error"}', 529, K.MODEL_ERROR),
        ("unexpected status 502 Bad Gateway", 502, K.MODEL_UNREACHABLE),
        ('{"error":{"message":"slow down"},"status_code":429}', 429, K.RATE_LIMIT),
        ("it read 401 files", None, K.OTHER),
        ("4010 items", None, K.OTHER),
    ],
)
def test_a_text_may_tell_its_status(message: str, status: int | None, kind: K) -> None:
    assert (told_status(message), error_kind(message)) == (status, kind)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("MCP error -32000: Connection closed", K.MCP),
        ("MCP server proctor failed to connect: connect ECONNREFUSED 127.0.0.1:9", K.MCP),
        ("connect ECONNREFUSED 127.0.0.1:9", K.MODEL_UNREACHABLE),
    ],
)
def test_a_connection_that_failed_is_that_of_its_server(message: str, kind: K) -> None:
    assert error_kind(message) is kind


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Error: no\n    at stream (rate.js:1)\n    at async quota", "Error: no"),
        ("node:fs:2428\n    return rateLimit(\n           ^\n\nError: no\n\nNode.js v22.0.0", "Error: no"),
        ("Error: no {\n  errno: -122,\n  code: 'E',\n  syscall: 'stream'\n}", "Error: no {"),
        (
            'Traceback (most recent call last):\n  File "quota.py", line 1, in x\n    stream()\nKeyError: 1',
            "KeyError: 1",
        ),
        (r'error="no" stack="no\n    at stream (x.js)\n    at y" end', 'error="no" stack="no" end'),
        ("thread panicked at x\nnote: run with `RUST_BACKTRACE=1` to see the stream", "thread panicked at x"),
        ("Error: no\n\nCaused by:\n    too many requests", "Error: no\n\nCaused by:\n    too many requests"),
    ],
)
def test_the_places_in_a_stack_trace_are_left_out(text: str, left: str) -> None:
    assert without_traces(text).strip() == left
