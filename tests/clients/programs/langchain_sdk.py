"""LangChain's models, over every wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add as plus
from typing import Any

from cells import ADD, KEY, PROMPT, SHOUT, VERDICT, run, total, used
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

TOOLS = [{"title": "add", "description": "Add.", **ADD}, {"title": "shout", "description": "Shout.", **SHOUT}]
FORM = {"title": "verdict", "description": "Say.", **VERDICT}


def _model(url: str, wire: str, **more: Any) -> Any:
    most = {"max_tokens": more.pop("most")} if "most" in more else {}
    match wire:
        case "openai_chat" | "openai_responses":
            more |= {"use_responses_api": True, "store": False} if wire == "openai_responses" else {}
            return ChatOpenAI(model="demo", api_key=KEY, base_url=f"{url}/v1", max_retries=0, **most, **more)
        case "anthropic_messages":
            return ChatAnthropic(model="demo", api_key=KEY, base_url=url, max_retries=0, **{"max_tokens": 1000} | most)
    limit = {"max_output_tokens": most["max_tokens"]} if most else {}
    return ChatGoogleGenerativeAI(model="demo", api_key=KEY, base_url=url, max_retries=0, **limit)


def _usage(message: Any) -> dict[str, int]:
    return used(message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"])


def text(url: str, wire: str) -> Mapping[str, Any]:
    message = _model(url, wire).invoke(PROMPT)
    return {"text": message.text, "usage": _usage(message)}


def stream(url: str, wire: str) -> Mapping[str, Any]:
    more = {"stream_usage": True} if wire == "openai_chat" else {}
    message = reduce(plus, list(_model(url, wire, **more).stream(PROMPT)))
    return {"text": message.text, "usage": _usage(message)}


def silent(url: str, wire: str) -> Mapping[str, Any]:
    message = reduce(plus, list(_model(url, wire).stream(PROMPT)))
    return {"text": message.text}


def tools(url: str, wire: str) -> Mapping[str, Any]:
    model, asked = _model(url, wire).bind_tools(TOOLS), HumanMessage(PROMPT)
    first = model.invoke([asked])
    results = [ToolMessage("ok", tool_call_id=call["id"]) for call in first.tool_calls]
    second = model.invoke([asked, first, *results])
    return {
        "calls": [[call["name"], call["args"]] for call in first.tool_calls],
        "text": second.text,
        "usage": total(_usage(first), _usage(second)),
    }


def _verdict(url: str, wire: str, method: str) -> Mapping[str, Any]:
    found = _model(url, wire).with_structured_output(FORM, method=method, include_raw=True).invoke(PROMPT)
    return {"json": found["parsed"], "usage": _usage(found["raw"])}


def structured(url: str, wire: str) -> Mapping[str, Any]:
    return _verdict(url, wire, "json_schema")


def forced(url: str, wire: str) -> Mapping[str, Any]:
    """Ask for JSON as the arguments of a tool that must be called."""
    found = _verdict(url, wire, "function_calling")
    return {**found, "json": found["json"][0]["args"] if isinstance(found["json"], list) else found["json"]}


def short(url: str, wire: str) -> Mapping[str, Any]:
    """Limit the answer to 8 tokens, which cut it."""
    message = _model(url, wire, most=8).invoke(PROMPT)
    said = str(message.response_metadata)
    return {"truncated": any(word in said for word in ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens'"))}


if __name__ == "__main__":
    run(
        {
            "text": text,
            "stream": stream,
            "silent": silent,
            "tools": tools,
            "structured": structured,
            "forced": forced,
            "short": short,
            "error": text,
            "page": text,
        }
    )
