#!/usr/bin/env python3
"""Golden data for chat templates, rendered by jinja2 in the environment of `transformers`.

    make_templates.py        writes templates/cases.json

Needs transformers 5.23 and jinja2 3.1.6. The file is {templates, conversations, cases}. A case has a
name, a `template` (text) with `variables`, or the name of a `family` and of a `conversation` with
`prompt` (add_generation_prompt); and `expected`, or `error: true`. The clock stands at NOON.
"""

import copy
import datetime
import json
import pathlib

from template_snippets import SNIPPETS, VARIABLES
from transformers.utils import chat_template_utils

NOON = datetime.datetime(2024, 7, 26, 12, 0, 0)
GOLDEN_CASES = pathlib.Path(__file__).parent / "templates" / "cases.json"

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


SECOND_CALL = {"id": "uvwxyz789", "type": "function",
               "function": {"name": "get_time", "arguments": {"zone": "Asia/Tokyo", "at": [1, 2.5, None, True]}}}
TEXT_CALL = {"id": "abcdef123", "type": "function",
             "function": {"name": "get_weather", "arguments": '{"city": "Zürich", "days": 2}'}}
RESULT = message("tool", '{"temp": 21.5}', name="get_weather", tool_call_id="abcdef123")
IMAGE = {"type": "image", "image": "cat.png"}


def text_part(text):
    return {"type": "text", "text": text}


# By name, the variables beside those of conversation_variables(). Each is rendered with and without a generation prompt.
CONVERSATIONS = {
    "one_turn": {"messages": [message("user", "Hello")]},
    "spaces": {"messages": [message("user", " Hello "), message("assistant", "Hi"), message("user", "Bye\n")]},
    "system": {"messages": [message("system", "You are terse.\n"), message("user", "Hi")]},
    "answered": {"messages": [message("system", "S"), message("user", "Q"), message("assistant", "A")]},
    "long": {"messages": [message("system", "Count.")] + [
        message("user" if i % 2 == 0 else "assistant", f"turn {i}") for i in range(9)]},
    "unicode": {"messages": [message("system", "Grüße 世界"), message("user", "emoji 🎉 \u200d <|end|> 'quoted' \"double\" \\ \t")]},
    "empty": {"messages": [message("user", ""), message("assistant", ""), message("user", "again")]},
    "nothing": {"messages": []},
    "only_system": {"messages": [message("system", "S")]},
    "parts": {"messages": [message("user", [text_part("Look: "), {"type": "image"}, text_part("what?")])]},
    "images": {"messages": [message("system", [text_part("See.")]),
                            message("user", [IMAGE, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}, text_part("Compare")]),
                            message("assistant", [text_part("Same")]),
                            message("user", [{"type": "video"}, {"type": "audio"}, text_part("And now?")])]},
    "tools": {"messages": [message("user", "Weather?")], "tools": [TOOL]},
    "tool_results": {"messages": [message("system", "Use tools."), message("user", "Weather?"),
                                  message("assistant", "", tool_calls=[CALL]), RESULT,
                                  message("assistant", "21.5 degrees"), message("user", "Thanks")],
                     "tools": [TOOL]},
    "tool_mapping": {"messages": [message("user", "Weather?"), message("assistant", None, tool_calls=[CALL]),
                                  message("tool", {"temp": 21.5, "ok": True, "note": None}, name="get_weather",
                                          tool_call_id="abcdef123")], "tools": [TOOL, TOOL]},
    "tool_text_arguments": {"messages": [message("user", "Weather?"), message("assistant", "", tool_calls=[TEXT_CALL]), RESULT],
                            "tools": [TOOL]},
    "tool_two_calls": {"messages": [message("user", "Both?"), message("assistant", "Wait.", tool_calls=[CALL, SECOND_CALL]),
                                    RESULT, message("tool", [text_part("12:00")], name="get_time", tool_call_id="uvwxyz789"),
                                    message("assistant", "Sunny noon")], "tools": [TOOL]},
    "tool_no_content": {"messages": [message("user", "Weather?"), {"role": "assistant", "tool_calls": [CALL]}, RESULT],
                        "tools": [TOOL]},
    "tool_bare": {"messages": [message("user", "x")],
                  "tools": [{"name": "bare", "description": "No wrapper", "parameters": {"type": "object", "properties": {}}}]},
    "no_tools": {"messages": [message("user", "x")], "tools": []},
    "thinking": {"messages": [message("user", "2+2?"),
                              message("assistant", "<think>\nadd\n</think>\n\n4", reasoning_content="add"),
                              message("user", "3+3?")], "enable_thinking": False},
    "reasoning_tools": {"messages": [message("user", "2+2?"),
                                     message("assistant", "", reasoning_content="call it", thinking="call it", tool_calls=[CALL]), RESULT,
                                     message("assistant", "4", reasoning_content="so", thinking="so")],
                        "tools": [TOOL], "enable_thinking": True, "reasoning_effort": "high"},
    "documents": {"messages": [message("user", "Who?")],
                  "documents": [{"title": "Who's who", "text": "It was me."}, {"title": "Ünï", "text": "<b>\n"}],
                  "citation_mode": "fast"},
    "developer": {"messages": [message("developer", "Be kind."), message("user", "Hi"), message("assistant", "Hello")]},
    "assistant_prefix": {"messages": [message("user", "Write"), message("assistant", "Once upon")],
                         "continue_final_message": True},
    "two_users": {"messages": [message("user", "a"), message("user", "b")]},
    "assistant_first": {"messages": [message("assistant", "Welcome"), message("user", "Hi")]},
    "late_system": {"messages": [message("user", "a"), message("system", "b"), message("assistant", "c")]},
    "unknown_role": {"messages": [message("narrator", "a"), message("user", "b")]},
    "no_role": {"messages": [{"content": "a"}]},
    "odd_content": {"messages": [message("user", 5), message("assistant", {"a": 1})]},
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


def outcome(template, variables):
    text = render(template, variables)
    return {"error": True} if text is None else {"expected": text}


def conversation_variables(conversation):
    return {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>",
            "unk_token": "<unk>", "pad_token": "<pad>", **conversation}


def conversation_file(templates, snippets=()):
    """The object that a file of cases holds: each template with each conversation, then `snippets`."""
    conversations = {name: conversation_variables(given) for name, given in CONVERSATIONS.items()}
    cases = [{"name": f"{family}/{name}/{'prompt' if prompt else 'plain'}", "family": family,
              "conversation": name, "prompt": prompt,
              **outcome(template, {**variables, "add_generation_prompt": prompt})}
             for family, template in templates.items() for name, variables in conversations.items()
             for prompt in (True, False)]
    return {"templates": templates, "conversations": conversations, "cases": cases + list(snippets)}


def snippet_cases():
    cases = []
    for area, snippets in SNIPPETS.items():
        for number, template in enumerate(snippets):
            variables = {key: value for key, value in VARIABLES.items() if key in template}
            cases.append({"name": f"{area}/{number}", "template": template, "variables": variables,
                          **outcome(template, variables)})
    return cases


def golden_text():
    """What cases.json holds: one case a line."""
    made = conversation_file(TEMPLATES, snippet_cases())

    def lines(value, brackets):
        items = [f"{json.dumps(key)}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items()] \
            if isinstance(value, dict) else [json.dumps(item, ensure_ascii=False) for item in value]
        return brackets[0] + "\n" + ",\n".join(items) + "\n" + brackets[1]

    return ('{"templates": ' + lines(made["templates"], "{}") + ',\n"conversations": '
            + lines(made["conversations"], "{}") + ',\n"cases": ' + lines(made["cases"], "[]") + "}\n")


def main():
    text = golden_text()
    GOLDEN_CASES.write_text(text, encoding="utf-8")
    print(f"{text.count(chr(10))} lines")


if __name__ == "__main__":
    main()
