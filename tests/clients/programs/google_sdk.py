"""Google's own client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cells import ADD, KEY, PROMPT, SHOUT, VERDICT, run, total, used
from google import genai
from google.genai import types

FUNCTIONS = [
    {"name": "add", "parameters_json_schema": ADD},
    {"name": "shout", "parameters_json_schema": SHOUT},
]
CONFIG: Any = {"tools": [{"function_declarations": FUNCTIONS}]}


def client(url: str, version: str = "v1beta") -> Any:
    return genai.Client(api_key=KEY, http_options={"base_url": url, "api_version": version})


def _ask(url: str, contents: Any = PROMPT, config: Any = None, version: str = "v1beta") -> Any:
    asked = client(url, version)
    return asked.models.generate_content(model="demo", contents=contents, config=config)


def _usage(answer: Any) -> dict[str, int]:
    return used(answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count)


def text(url: str, wire: str) -> Mapping[str, Any]:
    answer = _ask(url)
    return {"text": answer.text, "usage": _usage(answer)}


def alpha(url: str, wire: str) -> Mapping[str, Any]:
    """Use another version of the API."""
    answer = _ask(url, version="v1alpha")
    return {"text": answer.text, "usage": _usage(answer)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    asked = client(url)
    chunks = list(asked.models.generate_content_stream(model="demo", contents=PROMPT))
    return {"text": "".join(chunk.text or "" for chunk in chunks), "usage": _usage(chunks[-1])}


def tools(url: str, wire: str) -> Mapping[str, Any]:
    first = _ask(url, config=CONFIG)
    calls = first.function_calls
    results = [types.Part.from_function_response(name=call.name, response={"result": "ok"}) for call in calls]
    asked = types.Content(role="user", parts=[types.Part(text=PROMPT)])
    history = [asked, first.candidates[0].content, types.Content(role="user", parts=results)]
    second = _ask(url, history, CONFIG)
    usage = total(_usage(first), _usage(second))
    return {"calls": [[call.name, call.args] for call in calls], "text": second.text, "usage": usage}


def structured(url: str, wire: str) -> Mapping[str, Any]:
    answer = _ask(url, config={"response_mime_type": "application/json", "response_json_schema": VERDICT})
    return {"json": json.loads(answer.text), "usage": _usage(answer)}


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    functions = [*FUNCTIONS, {"name": "verdict", "parameters_json_schema": VERDICT}]
    choice = {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["verdict"]}}
    answer = _ask(url, config={"tools": [{"function_declarations": functions}], "tool_config": choice})
    [call] = answer.function_calls
    return {"json": call.args, "usage": _usage(answer)}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    answer = _ask(url, config={"max_output_tokens": 8})
    return {"truncated": answer.candidates[0].finish_reason.name == "MAX_TOKENS", "usage": _usage(answer)}


def models(url: str, wire: str) -> Mapping[str, Any]:
    stable, beta = client(url, "v1"), client(url)
    listed = [one.name.removeprefix("models/") for one in stable.models.list()]
    return {"models": listed, "model": beta.models.get(model="demo").name.removeprefix("models/")}


def count(url: str, wire: str) -> Mapping[str, Any]:
    asked = client(url)
    return {"count": asked.models.count_tokens(model="demo", contents=PROMPT).total_tokens}


if __name__ == "__main__":
    run(
        {
            "text": text,
            "alpha": alpha,
            "stream": stream,
            "silent": stream,
            "tools": tools,
            "structured": structured,
            "forced": forced,
            "short": short,
            "models": models,
            "count": count,
            "error": text,
            "page": text,
        }
    )
