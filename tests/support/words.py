"""What scripts must call by name, in the words of each backend's CLI."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from harness.gateway.script import ScriptedCall


class Words(Struct, frozen=True, kw_only=True):
    """The name of the shell tool; the tool that starts a subagent, and its arguments beside `prompt`, the name of that
    argument; and how a model server of the CLI's wire says that a prompt is too long."""

    bash: str
    task: str = ""
    prompt: str = "prompt"
    arguments: Mapping[str, str] = {}
    too_long: str = "This model's maximum context length is 8192 tokens. Your messages resulted in 9000 tokens."

    def subagent(self, prompt: str, **arguments: str) -> ScriptedCall:
        """The call that has a subagent do what `prompt` says."""
        return ScriptedCall(tool=self.task, arguments={**self.arguments, self.prompt: prompt, **arguments})


WORDS = {
    "claude": Words(
        bash="Bash",
        task="Agent",
        arguments={"description": "help", "subagent_type": "general-purpose"},
        too_long="prompt is too long: 210000 tokens > 200000 maximum",
    ),
    "opencode": Words(bash="bash", task="task", arguments={"description": "help", "subagent_type": "general"}),
    "codex": Words(bash="exec_command", task="multi_agent_v1.spawn_agent", prompt="message"),
    "pi": Words(bash="bash"),
}
