"""Reads how a request wants to be answered: which tools the model may call, and in what form it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.gateway.messages import AnswerForm


def by_openai(choice: Any, form: Any) -> AnswerForm:
    """Return what OpenAI's `tool_choice` and the form of the answer say, in the shape of either of its wires."""
    chosen, formed = _object(choice), _object(form)
    mode, tool = choice if isinstance(choice, str) else None, None
    match chosen.get("type"):
        case "function" | "custom" as kind:
            mode, tool = "required", _object(chosen.get(kind)).get("name") or chosen.get("name")
        case "allowed_tools":
            mode = chosen.get("mode") or _object(chosen.get("allowed_tools")).get("mode")
    schema = formed.get("schema") or _object(formed.get("json_schema")).get("schema")
    return AnswerForm(
        calls={"none": False, "required": True}.get(str(mode)),
        tool=_name(tool),
        json=formed.get("type") in {"json_object", "json_schema"},
        schema=_object(schema),
    )


def by_anthropic(choice: Any, config: Any) -> AnswerForm:
    """Return what Anthropic's `tool_choice` and `output_config` say."""
    chosen, form = _object(choice), _object(_object(config).get("format"))
    calls = {"none": False, "any": True, "tool": True}.get(str(chosen.get("type")))
    tool = chosen.get("name") if chosen.get("type") == "tool" else None
    return AnswerForm(calls=calls, tool=_name(tool), json=bool(form), schema=_object(form.get("schema")))


def by_google(tool_config: Any, config: Mapping[str, Any]) -> AnswerForm:
    """Return what Google's `toolConfig` and `generationConfig` say. Their names are in camel case."""
    calling = _object(_object(tool_config).get("functionCallingConfig"))
    calls = {"NONE": False, "ANY": True}.get(str(calling.get("mode") or "AUTO"))
    allowed = calling.get("allowedFunctionNames")
    tool = allowed[0] if calls and isinstance(allowed, list) and len(allowed) == 1 else None
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    is_json = config.get("responseMimeType") == "application/json"
    return AnswerForm(calls=calls, tool=_name(tool), json=is_json, schema=_object(schema))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
