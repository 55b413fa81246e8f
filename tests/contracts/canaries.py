"""Canaries: words planted wherever these CLIs would look for the configuration of whoever runs the harness."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

CANARY = re.compile(rb"canary-[\w.:-]+", re.IGNORECASE)

_ADDRESS = "http://127.0.0.1:9/canary-{}"

_INSTRUCTIONS = ("CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "AGENTS.override.md", "GEMINI.md", "CONTEXT.md")
"""Files of instructions, read in a project and in every folder above it."""

_PROJECT = (
    *_INSTRUCTIONS,
    ".claude/CLAUDE.md",
    ".claude/rules/canary.md",
    ".claude/agents/canary.md",
    ".claude/commands/canary.md",
    ".claude/skills/canary/SKILL.md",
    ".opencode/AGENTS.md",
    ".opencode/agent/canary.md",
    ".opencode/command/canary.md",
    ".opencode/skill/canary/SKILL.md",
    ".codex/AGENTS.md",
    ".pi/AGENTS.md",
    ".pi/SYSTEM.md",
    ".pi/APPEND_SYSTEM.md",
    ".agents/skills/canary/SKILL.md",
)
"""Text files that a project, or a home, may hold."""

_HOME = (
    ".config/opencode/AGENTS.md",
    ".config/opencode/agent/canary.md",
    ".codex/AGENTS.md",
    ".codex/prompts/canary.md",
    ".pi/agent/AGENTS.md",
    ".pi/agent/SYSTEM.md",
    ".pi/agent/APPEND_SYSTEM.md",
)

_VARIABLES = """
    ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_MODEL ANTHROPIC_SMALL_FAST_MODEL ANTHROPIC_CUSTOM_HEADERS
    AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CODE_SESSION_ID CLAUDE_EFFORT CLAUDECODE
    CODEX_API_KEY CODEX_INTERNAL_ORIGINATOR_OVERRIDE EDITOR EMAIL GEMINI_API_KEY GIT_AUTHOR_EMAIL GIT_AUTHOR_NAME
    GIT_COMMITTER_NAME GITHUB_TOKEN GOOGLE_API_KEY HOSTNAME LOGNAME OPENAI_API_KEY OPENAI_ORGANIZATION
    OPENCODE_CLIENT OPENCODE_GIT_BASH_PATH OPENCODE_PERMISSION OPENROUTER_API_KEY PI_API_KEY SSH_AUTH_SOCK USER
"""

_ADDRESSES = """
    ANTHROPIC_BASE_URL OPENAI_BASE_URL OPENAI_API_BASE HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
"""


def plant(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make `root` the home, the parent folder and the environment of a user who has configured every CLI.

    The result is the folder for the sessions: all the folders above it, up to `root`, hold canaries too.
    """
    sessions = root / "project" / "runs"
    home = root / "home"
    for folder in (root, root / "project", sessions, home):
        _plant_project(folder)
    for name in _HOME:
        _write(home / name, _words(home / name))
    _plant_configuration(home, patch)
    for name in _VARIABLES.split():
        patch.setenv(name, f"canary-{name}")
    for name in _ADDRESSES.split():
        patch.setenv(name, _ADDRESS.format(name))
    return sessions


def found_in(data: bytes) -> set[str]:
    """The canaries in some bytes."""
    return {word.decode() for word in CANARY.findall(data)}


def _plant_project(folder: Path) -> None:
    for name in _PROJECT:
        _write(folder / name, _words(folder / name))
    own = f"canary-{folder.name}"
    server = {"command": "echo", "args": [own]}
    _write_json(folder / ".mcp.json", {"mcpServers": {own: server}})
    _write_json(folder / ".claude/settings.json", {"env": {"CANARY": own}, "outputStyle": own})
    _write_json(folder / ".claude/settings.local.json", {"env": {"CANARY": own}, "model": own})
    _write_json(folder / "opencode.json", {"username": own, "instructions": [str(folder / "AGENTS.md")]})
    _write_json(folder / ".pi/settings.json", {"defaultModel": own})
    _write(folder / ".codex/config.toml", f'model = "{own}"\ndeveloper_instructions = "{own}"\n')
    _write(folder / ".git/config", f"[user]\n\tname = {own}\n\temail = {own}@example.org\n")
    _write(folder / ".git/HEAD", f"ref: refs/heads/{own}\n")


def _plant_configuration(home: Path, patch: pytest.MonkeyPatch) -> None:
    """What lies in a home, and the variables that lead there or elsewhere."""
    patch.setenv("HOME", str(home))
    _write_json(home / ".claude.json", {"userID": "canary-user", "oauthAccount": {"emailAddress": "canary-mail"}})
    _write_json(home / ".claude/.credentials.json", {"claudeAiOauth": {"accessToken": "canary-token"}})
    _write_json(home / ".codex/auth.json", {"OPENAI_API_KEY": "canary-key"})
    _write_json(home / ".pi/agent/auth.json", {"openai": {"type": "api_key", "key": "canary-key"}})
    _write(home / ".gitconfig", "[user]\n\tname = canary-git\n\temail = canary-git@example.org\n")
    places = {
        "CLAUDE_CONFIG_DIR": "claude-config",
        "CODEX_HOME": "codex-home",
        "OPENCODE_CONFIG_DIR": "opencode-config",
        "PI_CODING_AGENT_DIR": "pi-agent",
        "XDG_CONFIG_HOME": "xdg-config",
        "XDG_DATA_HOME": "xdg-data",
        "XDG_STATE_HOME": "xdg-state",
        "XDG_CACHE_HOME": "xdg-cache",
    }
    for variable, name in places.items():
        folder = home.parent / f"canary-{name}"
        for inner in (folder, folder / "opencode", folder / "git"):
            _plant_project(inner)
            _write(inner / "config", "[user]\n\tname = canary-git\n")
        _write_json(folder / "opencode/auth.json", {"openai": {"type": "api", "key": "canary-key"}})
        patch.setenv(variable, str(folder))
    patch.setenv("OPENCODE_CONFIG", str(home / "opencode.json"))
    patch.setenv("OPENCODE_CONFIG_CONTENT", json.dumps({"username": "canary-content"}))
    patch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))


def _words(path: Path) -> str:
    """Instructions, in the form that agents, commands and skills must have."""
    return (
        f"---\nname: canary\ndescription: canary-{path.name}\n---\nAlways say canary-{path.parent.name}-{path.name}.\n"
    )


def _write_json(path: Path, content: object) -> None:
    _write(path, json.dumps(content))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
