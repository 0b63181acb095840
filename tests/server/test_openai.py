"""The OpenAI API through the real `openai` package."""

from __future__ import annotations

import asyncio
import threading

import httpx
import openai
import pytest

from ostinato.engine.records_table import FinishReason
from tests.server.conftest import Served, run_server, wait_until
from tests.server.fakes import BOS, EOS


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chat(served: Served, text: str = "hello", **settings):
    return served.openai().chat.completions.create(model="fake", messages=say(text), **settings)


def complete(served: Served, prompt="hello", **settings):
    settings = {"max_tokens": 100, **settings}
    return served.openai().completions.create(model="fake", prompt=prompt, **settings)


def test_chat(served: Served) -> None:
    answer = chat(served, "héllo 😀")
    choice = answer.choices[0]
    assert choice.message.content == "HÉLLO 😀"
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert answer.usage.prompt_tokens == 11
    assert answer.usage.completion_tokens == 12  # the ending token counts
    assert answer.usage.total_tokens == 23
    assert answer.model == "fake"
    assert answer.system_fingerprint.endswith("-fake")


def test_messages_of_text_parts_and_developer_role(served: Served) -> None:
    messages = [
        {"role": "developer", "content": "be "},
        {"role": "user", "content": [{"type": "text", "text": "br"}, {"type": "text", "text": "ief"}]},
    ]
    answer = served.openai().chat.completions.create(model="fake", messages=messages)
    assert answer.choices[0].message.content == "BE BRIEF"


def test_an_answer_may_come_back_as_a_message(served: Served) -> None:
    first = chat(served).choices[0].message
    messages = [*say("a"), first.model_dump(), *say("b")]
    answer = served.openai().chat.completions.create(model="fake", messages=messages)
    assert answer.choices[0].message.content == "AHELLOB"


def test_stream_with_usage(served: Served) -> None:
    chunks = list(chat(served, "añb", stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:4]] == ["A", "Ñ", "B"]
    assert chunks[4].choices[0].finish_reason == "stop"
    assert chunks[5].choices == []
    assert chunks[5].usage.completion_tokens == 5
    assert len({c.id for c in chunks}) == 1


def test_stream_without_usage(served: Served) -> None:
    assert all(chunk.usage is None for chunk in chat(served, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings(served: Served, stream: bool) -> None:
    answer = chat(served, "one two three", stop=["O T", "EE"], stream=stream)
    if stream:
        chunks = list(answer)
        text = "".join(c.choices[0].delta.content or "" for c in chunks)
        finish = chunks[-1].choices[0].finish_reason
    else:
        text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert text == "ONE TW"
    assert finish == "stop"
    assert served.engine.cancels == 1


def test_stop_string_that_never_completes_is_shown(served: Served) -> None:
    assert chat(served, "abc", stop="CD").choices[0].message.content == "ABC"


def test_max_tokens(served: Served) -> None:
    answer = chat(served, "hello", max_tokens=2)
    assert answer.choices[0].message.content == "HE"
    assert answer.choices[0].finish_reason == "length"
    assert chat(served, "hello", max_completion_tokens=3).choices[0].message.content == "HEL"
    assert complete(served, max_tokens=10**6).choices[0].text == "HELLO"
    assert served.engine.requests[-1].max_tokens == 200 - 6


def test_half_a_character_at_the_end(served: Served) -> None:
    assert chat(served, "aé", max_tokens=2).choices[0].message.content == "A�"


def test_settings_reach_the_engine(served: Served) -> None:
    chat(
        served, seed=7, temperature=0.5, top_p=0.9, presence_penalty=0.25, frequency_penalty=-0.5,
        logit_bias={"65": 5, "66": -100}, extra_body={"top_k": 4, "min_p": 0.1, "repetition_penalty": 1.1},
    )  # fmt: skip
    sampling = served.engine.requests[-1].sampling
    assert (sampling.seed, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.25, -0.5)
    assert (sampling.top_k, sampling.min_p, sampling.repetition_penalty) == (4, 0.1, 1.1)
    assert sampling.logit_bias == ((65, 5.0), (66, -100.0))
    assert served.engine.requests[-1].stop_ids == (EOS,)


def test_ignore_eos(served: Served) -> None:
    served.engine.script = lambda request: iter([EOS] * 5)
    answer = chat(served, max_tokens=3, extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 3


def test_a_missing_seed_is_made_and_reported(served: Served) -> None:
    answers = [served.openai().chat.completions.with_raw_response.create(model="fake", messages=say("a")) for _ in "12"]
    seeds = [answer.headers["x-ostinato-seed"] for answer in answers]
    assert seeds == [str(request.sampling.seed) for request in served.engine.requests]
    assert seeds[0] != seeds[1]
    assert answers[0].parse().model_extra["seed"] == int(seeds[0])


def test_a_negative_seed(served: Served) -> None:
    answer = chat(served, seed=-1)
    assert served.engine.requests[-1].sampling.seed == 2**64 - 1
    assert answer.model_extra["seed"] == -1


def test_n_choices(served: Served) -> None:
    answer = chat(served, "abc", n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"ABC"}
    assert [request.sampling.choice for request in served.engine.requests] == [0, 1, 2]
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.completion_tokens == 12


def test_n_choices_streamed(served: Served) -> None:
    texts = {0: "", 1: ""}
    for chunk in chat(served, "abc", n=2, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == {0: "ABC", 1: "ABC"}


def test_chat_logprobs(served: Served) -> None:
    content = chat(served, "aé", logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert [entry.token for entry in content] == ["A", "�", "�"]
    assert [entry.bytes for entry in content] == [[65], [0xC3], [0x89]]
    assert content[0].logprob == -0.5
    assert [(t.token, t.logprob) for t in content[0].top_logprobs] == [("A", -0.5), ("B", -1.5)]


def test_chat_logprobs_streamed_belong_to_their_text(served: Served) -> None:
    chunks = list(chat(served, "é!", logprobs=True, stream=True))
    with_tokens = [c.choices[0] for c in chunks if c.choices[0].logprobs]
    assert [(c.delta.content, len(c.logprobs.content)) for c in with_tokens if c.delta.content] == [("É", 2), ("!", 1)]


def test_logprobs_of_a_stop_string_are_not_shown(served: Served) -> None:
    content = chat(served, "abcd", logprobs=True, stop="CD").choices[0].logprobs.content
    assert [entry.token for entry in content] == ["A", "B"]


def test_completion_forms_of_prompt(served: Served) -> None:
    assert complete(served).choices[0].text == "HELLO"
    assert list(served.engine.requests[-1].prompt) == [BOS, *b"hello"]
    assert complete(served, [104, 105]).choices[0].text == "HI"
    assert [c.text for c in complete(served, ["a", "b"], n=2).choices] == ["A", "A", "B", "B"]
    assert [c.text for c in complete(served, [[97], [98, 99]]).choices] == ["A", "BC"]


def test_completion_default_max_tokens(served: Served) -> None:
    answer = served.openai().completions.create(model="fake", prompt="x" * 40)
    assert answer.choices[0].text == "X" * 16
    assert answer.choices[0].finish_reason == "length"


def test_completion_stream(served: Served) -> None:
    chunks = list(complete(served, "abc", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "ABC"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_completion_logprobs(served: Served) -> None:
    logprobs = complete(served, "aé", logprobs=1).choices[0].logprobs
    assert logprobs.tokens == ["A", "bytes:\\xc3", "bytes:\\x89"]
    assert logprobs.token_logprobs == [-0.5] * 3
    assert logprobs.top_logprobs[0] == {"A": -0.5}
    assert logprobs.text_offset == [0, 1, 1]


def test_models(served: Served) -> None:
    client = served.openai()
    assert [model.id for model in client.models.list()] == ["fake"]
    assert client.models.retrieve("fake").owned_by == "ostinato"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_another_model_is_not_found(served: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="'other' is not loaded"):
        served.openai().completions.create(model="other", prompt="a")


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"extra_body": {"temprature": 1}}, "temprature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"store": True}, "store"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"999": 1}}, "logit_bias"),
        ({"logit_bias": {"65": 101}}, "logit_bias"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"extra_body": {"stream_options": {"include_usage": True}}}, "stream_options"),
    ],
)
def test_refused_by_name(served: Served, settings: dict, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        chat(served, **settings)
    assert refusal.value.param == param
    assert param in str(refusal.value)
    assert served.engine.requests == []


def test_harmless_parameters_are_accepted(served: Served) -> None:
    chat(
        served, user="u", metadata={"a": "b"}, store=False, tools=[], tool_choice="none", n=1,
        response_format={"type": "text"}, service_tier="auto", parallel_tool_calls=True,
    )  # fmt: skip


def test_prompt_longer_than_the_context(served: Served) -> None:
    with pytest.raises(openai.BadRequestError, match="200 tokens; the context is 200") as refusal:
        chat(served, "x" * 200)
    assert refusal.value.code == "context_length_exceeded"


def test_overload(served: Served) -> None:
    served.engine.capacity = 2
    with pytest.raises(openai.RateLimitError) as refusal:
        chat(served, n=3)
    assert refusal.value.response.headers["retry-after"] == "1"
    assert served.engine.cancels == 2


def test_engine_fault(served: Served) -> None:
    served.engine.script = lambda request: iter(b"ab")
    with pytest.raises(openai.InternalServerError, match="failed twice"):
        chat(served)
    chunks = []
    with pytest.raises(openai.APIError, match="failed twice"):
        chunks.extend(chat(served, stream=True))


def test_engine_down(served: Served) -> None:
    served.engine.down = "it died 8 times"
    with pytest.raises(openai.InternalServerError, match="it died 8 times") as refusal:
        chat(served)
    assert refusal.value.status_code == 503


def test_shutdown_is_said(served: Served) -> None:
    served.engine.script = lambda request: iter(b"a")
    served.engine.broken_end = FinishReason.CANCELLED
    with pytest.raises(openai.InternalServerError, match="shutting down"):
        chat(served)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels(served: Served, stream: bool) -> None:
    served.engine.script = lambda request: iter(b"a" * 150)
    served.engine.delay = 0.05
    body = {"messages": say("a"), "stream": stream}
    with served.http() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=body, timeout=0.5 if not stream else 0.02)
    wait_until(lambda: served.engine.cancels == 1)


def test_many_at_once_and_one_stalled(served: Served) -> None:
    """A client that does not read holds up nobody."""
    served.engine.script = lambda request: iter(b"a" * 190)
    with served.http() as client:
        body = {"messages": say("a"), "stream": True, "n": 64}
        with client.stream("POST", "/v1/chat/completions", json=body):  # never read
            served.engine.script = lambda request: iter([*b"quick", EOS])
            answers: list[str] = []
            threads = [
                threading.Thread(target=lambda: answers.append(chat(served).choices[0].message.content))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=20)
    assert answers == ["quick"] * 8


def test_no_template() -> None:
    with run_server(template=None) as served:
        with pytest.raises(openai.BadRequestError, match="use /v1/completions"):
            chat(served)
        assert complete(served).choices[0].text == "HELLO"


def test_template_that_refuses() -> None:
    refusal = pytest.raises(openai.BadRequestError, match="roles must alternate")
    with run_server(template="{{ raise_exception('roles must alternate') }}") as served, refusal:
        chat(served)


def test_asynchronous_client(served: Served) -> None:
    async def ask() -> list[str]:
        client = openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
        async with client:
            calls = [client.completions.create(model="fake", prompt=f"n{i}") for i in range(20)]
            return [answer.choices[0].text for answer in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [f"N{i}" for i in range(20)]
