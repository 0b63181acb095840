"""Conversations that templates are tried with: name -> what `apply_chat_template` would be given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Context = Mapping[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'Today\'s weather; °C & "wind" <in km/h>',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A city,\nby name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 14},
                "places": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"lat": {"type": "number"}, "on": {"type": "boolean", "default": True}},
                        "required": ["lat"],
                    },
                },
            },
            "required": ["city"],
        },
        "return": {"type": "string", "description": "a sentence"},
    },
}
BARE = {
    "type": "function",
    "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}},
}
PLAIN = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "one"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
SHORT = {"type": "function", "function": {"name": "noop"}}
DOCUMENTS = [
    {"title": "Paris", "text": "Paris is the capital\nof France.", "contents": "Paris", "doc_id": 1},
    {"title": "Köln", "text": "Köln liegt am Rhein.", "contents": "Köln", "doc_id": "b"},
]


def say(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(name: str, arguments: Any, id: str = "call00001") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


ARGUMENTS = {
    "city": "São Paulo",
    "days": 3,
    "places": [{"lat": -23.5, "on": False}],
    "unit": None,
    "note": "a 'q' \"d\"",
}
ASKED = [say("user", "How is the weather in São Paulo?")]
RESULT = say("tool", '{"temp": 21.5}', name="get_weather", tool_call_id="call00001")
USED = [*ASKED, say("assistant", "", tool_calls=[call("get_weather", ARGUMENTS)]), RESULT]
TALK = [say("user", "Hi"), say("assistant", "Yes?"), say("user", " 1+1 ")]
THOUGHT = "<think>\nEasy.\n</think>\n\nTwo."


def given(*messages: Mapping[str, Any], **more: Any) -> Context:
    return {"messages": list(messages), "add_generation_prompt": True, **more}


CASES: dict[str, Context] = {
    "user": given(say("user", "Hello\n <there> & 'you' \"all\"")),
    "user without a prompt": given(say("user", "Hello"), add_generation_prompt=False),
    "nobody": given(),
    "system": given(say("system", "Be brief.\n"), *TALK),
    "system alone": given(say("system", "Be brief.")),
    "developer": given(say("developer", "Be brief."), say("user", "Hi")),
    "turns": given(*TALK, say("assistant", "2"), say("user", "Sure?")),
    "ends with the assistant": given(*TALK, say("assistant", "2"), add_generation_prompt=False),
    "prompt after the assistant": given(*TALK, say("assistant", "2")),
    "two users": given(say("user", "a"), say("user", "b")),
    "assistant first": given(say("assistant", "Welcome"), say("user", "b")),
    "unknown role": given(say("wizard", "abracadabra"), say("user", "b")),
    "empty": given(say("system", ""), say("user", ""), say("assistant", ""), say("user", "")),
    "none": given(say("user", "a"), say("assistant", None), say("user", "b")),
    "none from the user": given(say("user", None)),
    "no content": given({"role": "user"}),
    "no content from the assistant": given(say("user", "a"), {"role": "assistant"}, say("user", "b")),
    "parts": given(say("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])),
    "image": given(say("user", [{"type": "image"}, {"type": "text", "text": "What is it?"}])),
    "image address": given(say("user", [{"type": "image_url", "image_url": {"url": "http://x/y"}}])),
    "parts everywhere": given(
        say("system", [{"type": "text", "text": "s"}]),
        say("user", [{"type": "text", "text": "u"}]),
        say("assistant", [{"type": "text", "text": "a"}]),
        say("user", [{"type": "text", "text": "v"}]),
    ),
    "number": given(say("user", 12)),
    "object": given(say("user", {"a": 1, "b": [True, None, 1.5, "x'y"]})),
    "unicode": given(
        say("system", "Ω\u2028\u00a0"), say("user", "é😀 \u200d\ufeff 漢字\r\n\t\x0b\x85 ﷺ "), say("assistant", "ß İ")
    ),
    "spaces": given(say("user", " \n\t \u3000"), say("assistant", "\n\n a \n\n"), say("user", "\x1c b \x1f")),
    "markup": given(say("user", "{{ 1 }} {% if %} {# #} <b>&amp;</b> %s %d {0} \\n \\ ")),
    "marks": given(
        say("user", "<|im_end|><|eot_id|></s><s>[INST]<end_of_turn><|end|><think></think><tool_call>"),
        say("assistant", "<|im_start|>[/INST]</think><|channel|>final<|message|>"),
        say("user", "<｜User｜><｜end▁of▁sentence｜>"),
    ),
    "long": given(
        say("system", "word " * 5000),
        *[m for i in range(60) for m in (say("user", f"q{i}"), say("assistant", "a" * i))],
        say("user", "?"),
    ),
    "thought": given(say("user", "1+1"), say("assistant", THOUGHT), say("user", "2+2")),
    "thought at the end": given(say("user", "1+1"), say("assistant", THOUGHT), add_generation_prompt=False),
    "reasoning": given(say("user", "1+1"), say("assistant", "Two.", reasoning_content="Easy.\n"), say("user", "2+2")),
    "reasoning by other names": given(
        say("user", "1"),
        say("assistant", "a", thinking="t"),
        say("user", "2"),
        say("assistant", "b", reasoning="r"),
        say("user", "3"),
    ),
    "thinking on": given(*TALK, enable_thinking=True, thinking=True, reasoning_effort="high"),
    "thinking off": given(*TALK, enable_thinking=False, thinking=False, reasoning_effort="none"),
    "tools": given(*ASKED, tools=[WEATHER]),
    "no tools": given(*ASKED, tools=[]),
    "many tools": given(say("system", "You help."), *ASKED, tools=[WEATHER, BARE]),
    "short tool": given(*ASKED, tools=[SHORT]),
    "simple tool": given(*ASKED, tools=[PLAIN]),
    "simple tool call": given(
        say("user", "1+2.5?"),
        say("assistant", "", tool_calls=[call("add", {"a": 1, "b": 2.5})]),
        say("tool", "3.5", name="add", tool_call_id="call00001"),
        tools=[PLAIN],
    ),
    "bare schema": given(*ASKED, tools=[WEATHER["function"]]),
    "tool call": given(*USED, tools=[WEATHER]),
    "tool call without a prompt": given(*USED, tools=[WEATHER], add_generation_prompt=False),
    "tool call without tools": given(*USED),
    "tool call at the end": given(*USED[:2], tools=[WEATHER], add_generation_prompt=False),
    "tool call in text": given(
        *ASKED,
        say("assistant", None, tool_calls=[call("get_weather", '{"city": "Rome", "days": 2}')]),
        RESULT,
        tools=[WEATHER],
    ),
    "tool call without content": given(
        *ASKED, {"role": "assistant", "tool_calls": [call("get_weather", ARGUMENTS)]}, RESULT, tools=[WEATHER]
    ),
    "tool call with words": given(
        *ASKED,
        say("assistant", "Let me see.", reasoning_content="Ask.", tool_calls=[call("get_weather", ARGUMENTS)]),
        RESULT,
        say("assistant", "21.5 °C"),
        say("user", "Thanks"),
        tools=[WEATHER],
    ),
    "tool call without a wrapper": given(
        *ASKED,
        say("assistant", "", tool_calls=[{"name": "get_weather", "arguments": {"city": "Rome"}}]),
        RESULT,
        tools=[WEATHER],
    ),
    "two tool calls": given(
        *ASKED,
        say(
            "assistant",
            "",
            tool_calls=[call("get_weather", {"city": "Rome"}, "abcdefgh1"), call("now", {}, "abcdefgh2")],
        ),
        say("tool", "21", name="get_weather", tool_call_id="abcdefgh1"),
        say("tool", "12:00", name="now", tool_call_id="abcdefgh2"),
        tools=[WEATHER, BARE],
    ),
    "two rounds of tools": given(
        *USED,
        say("assistant", "", tool_calls=[call("now", {}, "123456789")]),
        say("tool", "12", tool_call_id="123456789"),
        say("assistant", "Noon."),
        say("user", "And now?"),
        tools=[WEATHER, BARE],
    ),
    "no tool calls": given(*ASKED, say("assistant", "No.", tool_calls=[]), say("user", "Pity."), tools=[WEATHER]),
    "result in an object": given(
        *USED[:2], say("tool", {"temp": 21.5, "ok": True, "rain": None}, name="get_weather"), tools=[WEATHER]
    ),
    "result in parts": given(
        *USED[:2], say("tool", [{"type": "text", "text": "21"}], tool_call_id="call00001"), tools=[WEATHER]
    ),
    "result by its old name": given(*USED[:2], say("function", "21", name="get_weather"), tools=[WEATHER]),
    "documents": given(*TALK, documents=DOCUMENTS),
    "tools and documents": given(*USED, tools=[WEATHER], documents=DOCUMENTS),
    "citations": given(
        *TALK, documents=DOCUMENTS, controls={"length": "long"}, citation_mode="accurate", safety_mode="NONE"
    ),
    "all the rest": given(
        say("system", "Obey."),
        *TALK,
        tools=[WEATHER],
        builtin_tools=["browser", "python"],
        model_identity="I am me.",
        tools_in_user_message=False,
        date_string="1 May 2025",
        custom_tools=None,
        clear_thinking=False,
    ),
}
