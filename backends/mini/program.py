"""Runs mini-swe-agent and prints its trajectory as it grows: `program.py SETTINGS_FILE MODEL < PROMPT`.

The adapter copies this program into the home of a session. The Python of mini-swe-agent's own virtual environment runs
it there, so Proctor never imports it. It prints one JSON object a line: `mini.started`, a `mini.message` for each new
message of the trajectory, `mini.retry` for each repeated request, and `mini.failed` if the agent gives up.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import litellm
import openai
from minisweagent import __version__
from minisweagent.agents.default import DefaultAgent
from minisweagent.config import get_config_from_spec
from minisweagent.environments.local import LocalEnvironment
from minisweagent.exceptions import InterruptAgentFlow, Submitted
from minisweagent.models.litellm_model import LitellmModel

_ANSWERED = {"role": "exit", "content": "", "extra": {"exit_status": "Answered", "submission": ""}}
_SENT = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id")
_KEPT = ("returncode", "exception_info", "exit_status")
_HINT = "\n\n{{ instructions }}"


class Trajectory:
    """Writes lines to `out`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Write one line of this kind."""
        self._out.write(json.dumps({"type": f"mini.{kind}", **fields}) + "\n")
        self._out.flush()


class PatientModel(LitellmModel):  # type: ignore[misc]  # mypy does not see mini-swe-agent, which has its own Python
    """A model that answers an impossible call as a tool does, and tells each repeated request."""

    def __init__(self, trajectory: Trajectory, **config: Any) -> None:
        super().__init__(**config)
        self._trajectory = trajectory
        self._failed = 0
        self._error = ""

    def query(self, messages: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """Ask the model, and ask again after a failure."""
        self._failed = 0
        message: dict[str, Any] = super().query(messages, **options)
        return message

    def _query(self, messages: list[dict[str, Any]], **options: Any) -> Any:
        if self._failed:
            self._trajectory.tell("retry", attempt=self._failed, error=self._error)
        try:
            response = super()._query(messages, **options)
            if not getattr(response, "choices", None):
                raise ValueError("the model server's answer held no response")
        except Exception as error:
            self._failed, self._error = self._failed + 1, str(error)
            raise
        return response

    def _prepare_messages_for_api(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages as the API defines them. litellm's have fields of its own, which servers may refuse."""
        return [{name: message[name] for name in _SENT if name in message} for message in messages]

    def _parse_actions(self, response: Any) -> list[dict[str, Any]]:
        return [_action(call) for call in response.choices[0].message.tool_calls or []]


class PatientEnvironment(LocalEnvironment):  # type: ignore[misc]  # as above
    """Runs commands, and answers an impossible call with its fault.

    `submitted` is the end that a command has asked for. No command runs after it.
    """

    submitted: Submitted | None = None

    def execute(self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None) -> dict[str, Any]:
        """Return what the command printed."""
        fault = action.get("fault") or ("action was not executed" if self.submitted else "")
        if fault:
            return {"output": "", "returncode": -1, "exception_info": fault}
        try:
            ran: dict[str, Any] = super().execute(action, cwd, timeout=timeout)
        except Submitted as end:
            self.submitted = end
            return {"output": end.messages[0]["content"], "returncode": 0, "exception_info": ""}
        return ran


class TellingAgent(DefaultAgent):  # type: ignore[misc]  # as above
    """The agent, which tells each message and ends with a response that calls no tool."""

    def __init__(self, trajectory: Trajectory, model: Any, environment: Any, **config: Any) -> None:
        super().__init__(model, environment, **config)
        self._trajectory = trajectory

    def add_messages(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Add messages to the conversation."""
        for message in messages:
            self._trajectory.tell("message", message=_told(message))
        added: list[dict[str, Any]] = super().add_messages(*messages)
        return added

    def execute_actions(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Execute the calls of a response, and tell their results even if one of them ends the session."""
        if not message["extra"]["actions"]:
            raise InterruptAgentFlow(_ANSWERED)
        results: list[dict[str, Any]] = super().execute_actions(message)
        if self.env.submitted:
            raise self.env.submitted
        return results


def main() -> int:
    """Run one session. Return the exit code: 1 if the model gave no answer."""
    trajectory = Trajectory(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # libraries print to standard output, and only the trajectory belongs there
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    settings, name = json.loads(Path(sys.argv[1]).read_text("utf-8")), sys.argv[2]
    instructions = Path(settings["instructions"]).read_text("utf-8") if settings["instructions"] else ""
    config = get_config_from_spec("mini.yaml")
    model = config["model"]
    model["observation_template"] = get_config_from_spec("default.yaml")["model"]["observation_template"]
    model["model_name"] = f"openai/{name}"
    model["model_kwargs"] |= settings["request"]
    agent = {name: config["agent"][name] for name in ("system_template", "instance_template")}
    agent["system_template"] += _HINT if instructions else ""
    environment = PatientEnvironment(**config["environment"], timeout=settings["command_timeout_s"])
    told = TellingAgent(trajectory, PatientModel(trajectory, **model), environment, cost_limit=0, **agent)
    trajectory.tell("started", version=__version__, model=name)
    try:
        told.run(sys.stdin.buffer.read().decode("utf-8", "replace"), instructions=instructions)
    except Exception as error:  # whatever it was, the agent has given up
        status = None if _unreachable(error) else getattr(error, "status_code", None)
        trajectory.tell("failed", kind=type(error).__name__, message=str(error), status=status)
        return 1
    return 0


def _action(call: Any) -> dict[str, Any]:
    """Return a call as an action: its command, or its fault in mini-swe-agent's words."""
    action: dict[str, Any] = {"tool_call_id": call.id}
    if call.function.name != "bash":
        return {**action, "fault": f"Unknown tool '{call.function.name}'."}
    try:
        arguments = json.loads(call.function.arguments)
    except ValueError as error:
        return {**action, "fault": f"Error parsing tool call arguments: {error}."}
    command = arguments.get("command") if isinstance(arguments, dict) else None
    if not isinstance(command, str):
        return {**action, "fault": "Missing 'command' argument in bash tool call."}
    return {**action, "command": command}


def _told(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message without what repeats other parts of it."""
    extra = message.get("extra", {})
    told = {name: value for name, value in message.items() if name != "extra"}
    told |= {name: extra[name] for name in _KEPT if name in extra}
    if response := extra.get("response"):
        told |= {name: response.get(name) for name in ("id", "model", "usage")}
        told["finish_reason"] = response["choices"][0].get("finish_reason")
    return told


def _unreachable(error: BaseException | None) -> bool:
    """Return whether no connection is behind this error. litellm gives such an error the status 500."""
    while error is not None:
        if isinstance(error, openai.APIConnectionError) and type(error) is openai.APIConnectionError:
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
