"""Any text may stand in a prompt's file: it is rendered, or refused with the line at fault."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.agent.prompt import TemplateFault, facts, render
from harness.case import Limits
from harness.environment_conf import EnvironmentConf
from harness.grading import EvaluationConf
from tests.support.cases import PROMPT

ABOUT = facts(
    EnvironmentConf("maze", "maze"), EvaluationConf(), Limits(), description="{{ x }}", tools={"render_state": "draw"}
)

_tags = ("{{", "}}", "{%", "%}", "{#", "#}", "if", "endif", "for x in", "endfor", "set", "block", "include", "macro")
_values = (
    "tools",
    "limits.turns",
    "limits.nope",
    "nope",
    "episodes",
    "description",
    "'text'",
    "0",
    "x",
    "self",
    "loop",
)
_others = ("|", "upper", "shout", "/", "~", "(", ")", "[", "]", ".", "__class__", "in", "is defined", "\n", "ä", " ")

templates = st.lists(st.sampled_from(_tags + _values + _others), max_size=12).map(" ".join) | st.text(max_size=40)


@given(templates)
def test_a_template_is_rendered_or_refused_with_its_line(template: str) -> None:
    try:
        shown = render(msgspec.structs.replace(PROMPT, rules=template), "rules", ABOUT)
    except TemplateFault as fault:
        told = re.match(r"conf/prompt/default\.yaml: prompt\.default\.rules: line (\d+)", str(fault))
        assert told is not None
        assert 1 <= int(told[1]) <= len(template.splitlines()) + 1
    else:
        assert shown == "" or shown.endswith("\n")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="{}#%")))
def test_a_text_without_tags_stays_as_it_is(text: str) -> None:
    shown = render(msgspec.structs.replace(PROMPT, rules=text), "rules", ABOUT)
    lines = re.sub(r"\r\n|\r", "\n", text).strip("\n")
    assert shown == (f"{lines}\n" if lines.strip() else "")
