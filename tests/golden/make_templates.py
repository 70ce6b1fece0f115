#!/usr/bin/env python3
"""Golden data for chat templates, rendered by jinja2 in the environment of `transformers`.

    make_templates.py                              writes templates/cases.json
    make_templates.py --check DIR --phial BINARY   compares DIR/*.jinja with `phial template`
    make_templates.py --export DIR                 writes the conversations over DIR/*.jinja as cases
                                                   to standard output (for PHIAL_TEMPLATE_CASES)

Needs transformers 5.23 and jinja2 3.1.6. Each case is {name, template, variables} with `expected`
or `error: true`. The clock stands at NOON, so that the date is the same in nearly all time zones.
"""

import argparse
import copy
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

from template_snippets import SNIPPETS, VARIABLES
from transformers.utils import chat_template_utils

NOON = datetime.datetime(2024, 7, 26, 12, 0, 0)

# Own templates in the three families of formats that small chat models use.
TEMPLATES = {
    "chatml": """{% for message in messages %}
{% if loop.first and message.role != 'system' %}
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}
{{- message.content }}
{%- else %}
{%- for part in message.content %}{{ part.text if part.type == 'text' else '<' ~ part.type ~ '>' }}{% endfor %}
{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n' ~ call.function | tojson ~ '\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "llama3": """{{- bos_token }}
{%- set ns = namespace(system='') %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set ns.system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- ns.system }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {%- if message['content'] is string %}
            {{- message['content'] | trim + '<|eot_id|>' }}
        {%- else %}
            {{- message['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('\\n') + '<|eot_id|>' }}
        {%- endif %}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception("Only single tool-calls are supported") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + "}<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "phi3": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] in ['user', 'tool'] %}{{'<|' ~ message['role'] ~ '|>\\n' ~ message['content'] ~ '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n'}}{% generation %}{{ message['content'] }}<|end|>
{% endgeneration %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
}

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather <now> & \"later\"",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Zürich", "東京"]}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CALL = {"id": "abcdef123", "type": "function",
        "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2}}}


def message(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "one_turn": {"messages": [message("user", "Hello")]},
    "spaces": {"messages": [message("user", " Hello "), message("assistant", "Hi"), message("user", "Bye\n")]},
    "system": {"messages": [message("system", "You are terse.\n"), message("user", "Hi")]},
    "no_prompt": {"messages": [message("system", "S"), message("user", "Q"), message("assistant", "A")],
                  "add_generation_prompt": False},
    "long": {"messages": [message("system", "Count.")] + [
        message("user" if i % 2 == 0 else "assistant", f"turn {i}") for i in range(9)]},
    "unicode": {"messages": [message("system", "Grüße 世界"), message("user", "emoji 🎉 \u200d <|end|> 'quoted' \"double\" \\ \t")]},
    "empty": {"messages": [message("user", ""), message("assistant", ""), message("user", "again")]},
    "parts": {"messages": [message("user", [{"type": "text", "text": "Look: "}, {"type": "image"},
                                            {"type": "text", "text": "what?"}])]},
    "tools": {"messages": [message("user", "Weather?")], "tools": [TOOL]},
    "tool_results": {"messages": [message("system", "Use tools."), message("user", "Weather?"),
                                  message("assistant", "", tool_calls=[CALL]),
                                  message("tool", "{\"temp\": 21.5}", name="get_weather", tool_call_id="abcdef123"),
                                  message("assistant", "21.5 degrees"), message("user", "Thanks")],
                     "tools": [TOOL]},
    "tool_mapping": {"messages": [message("user", "Weather?"), message("assistant", None, tool_calls=[CALL]),
                                  message("tool", {"temp": 21.5, "ok": True, "note": None}, name="get_weather",
                                          tool_call_id="abcdef123")], "tools": [TOOL, TOOL]},
    "thinking": {"messages": [message("user", "2+2?"),
                              message("assistant", "<think>\nadd\n</think>\n\n4", reasoning_content="add"),
                              message("user", "3+3?")], "enable_thinking": False},
    "assistant_prefix": {"messages": [message("user", "Write"), message("assistant", "Once upon")],
                         "add_generation_prompt": False},
    "two_users": {"messages": [message("user", "a"), message("user", "b")]},
}


def render(template, variables):
    """The text, or None where jinja2 raises."""
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
        compiled.environment.globals["strftime_now"] = NOON.strftime
        compiled.globals["strftime_now"] = NOON.strftime
        return compiled.render(**copy.deepcopy(variables))
    except Exception as error:  # whatever Python raises is an error of the template
        if isinstance(error, MemoryError):
            raise
        return None


def make_case(name, template, variables):
    text = render(template, variables)
    case = {"name": name, "template": template, "variables": variables}
    case.update({"error": True} if text is None else {"expected": text})
    return case


def conversation_variables(conversation):
    return {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>",
            "eos_token": "</s>", "unk_token": "<unk>", **conversation}


def conversation_cases(templates):
    return [make_case(f"{family}/{name}", template, conversation_variables(conversation))
            for family, template in templates.items() for name, conversation in CONVERSATIONS.items()]


def snippet_cases():
    cases = []
    for area, snippets in SNIPPETS.items():
        for number, template in enumerate(snippets):
            variables = {key: value for key, value in VARIABLES.items() if key in template}
            cases.append(make_case(f"{area}/{number}", template, variables))
    return cases


def check(folder, phial):
    """Compares `phial template` with jinja2; returns the number of templates that differ."""
    different = 0
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        wrong = []
        for name, conversation in CONVERSATIONS.items():
            variables = conversation_variables(conversation)
            expected = render(template, variables)
            with tempfile.TemporaryDirectory() as scratch:
                files = {}
                for key in ("messages", "tools"):
                    files[key] = pathlib.Path(scratch, key + ".json")
                    files[key].write_text(json.dumps(variables.pop(key)), encoding="utf-8")
                prompt = variables.pop("add_generation_prompt")
                files["vars"] = pathlib.Path(scratch, "vars.json")
                files["vars"].write_text(json.dumps(variables), encoding="utf-8")
                command = [phial, "template", "--template", path, "--messages", files["messages"],
                           "--vars", files["vars"]]
                if conversation.get("tools"):
                    command += ["--tools", files["tools"]]
                if not prompt:
                    command.append("--no-generation-prompt")
                # Dates in the output are those of today on both sides.
                if "strftime_now" in template:
                    compiled = chat_template_utils._compile_jinja_template(template)
                    compiled.globals["strftime_now"] = datetime.datetime.now().strftime
                done = subprocess.run(command, capture_output=True, check=False)
            actual = done.stdout.decode() if done.returncode == 0 else None
            if actual != expected:
                wrong.append(name)
        different += bool(wrong)
        print(f"{path.name}: {'same' if not wrong else 'differs in ' + ', '.join(wrong)}")
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--phial", metavar="BINARY")
    parser.add_argument("--export", type=pathlib.Path, metavar="DIR")
    options = parser.parse_args()
    if options.check:
        sys.exit(1 if check(options.check, options.phial) else 0)
    if options.export:
        templates = {path.stem: path.read_text(encoding="utf-8") for path in sorted(options.export.glob("*.jinja"))}
        json.dump(conversation_cases(templates), sys.stdout, ensure_ascii=False)
        return
    cases = snippet_cases() + conversation_cases(TEMPLATES)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    target = pathlib.Path(__file__).parent / "templates" / "cases.json"
    target.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(f"{len(cases)} cases, {sum('error' in case for case in cases)} of them errors")


if __name__ == "__main__":
    main()
