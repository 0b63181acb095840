"""An API request -> what the engine is asked for: token ids, settings, a seed, stop strings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ostinato.backends.sampling import Sampling, SamplingError
from ostinato.chat import ChatError
from ostinato.engine.request import Request
from ostinato.server.errors import ApiError, refuse
from ostinato.server.model import ServedModel
from ostinato.server.protocol import MAX_CHOICES, ChatRequest, CompletionRequest, Generation

LONG_TEXT = 1 << 15  # characters; longer texts are encoded on another thread
COMPLETION_TOKENS = 16  # the completions API's default


@dataclass(frozen=True)
class Job:
    """Sequences to run for one call: choice i of the answer is requests[i]."""

    requests: Sequence[Request]
    prompt_tokens: int  # each prompt counts once, whatever n
    seed: int
    stops: Sequence[str]
    logprobs: int  # -1: none; else how many of the best tokens go with each


async def prepare_chat(body: ChatRequest, model: ServedModel) -> Job:
    """Raises ApiError."""
    body.check()
    _check_name(body.model, model)
    if model.template is None:
        message = f"model {model.name!r} has no chat template; use /v1/completions"
        raise ApiError(400, message, param="messages", code="no_chat_template")
    messages = [message.plain() for message in body.messages]
    try:
        ids = await asyncio.to_thread(model.template.encode, messages)
    except ChatError as error:
        raise ApiError(400, str(error), param="messages", code="chat_template") from error
    limit = body.max_completion_tokens or body.max_tokens or model.context
    logprobs = (body.top_logprobs or 0) if body.logprobs else -1
    return _job(body, model, [ids], limit, logprobs, at="messages")


async def prepare_completion(body: CompletionRequest, model: ServedModel) -> Job:
    """Raises ApiError."""
    body.check()
    _check_name(body.model, model)
    prompts = [await _encode(prompt, model) if isinstance(prompt, str) else prompt for prompt in body.prompts()]
    limit = body.max_tokens or COMPLETION_TOKENS
    logprobs = -1 if body.logprobs is None else body.logprobs
    return _job(body, model, prompts, limit, logprobs, at="prompt")


def _check_name(name: str | None, model: ServedModel) -> None:
    if name not in (None, model.name):
        message = f"model: {name!r} is not loaded; this server has {model.name!r}"
        raise ApiError(404, message, param="model", code="model_not_found")


async def _encode(text: str, model: ServedModel) -> Sequence[int]:
    """A raw prompt's own marks (<|im_start|> and the like) become their tokens."""
    if len(text) < LONG_TEXT:
        return model.tokenizer.encode(text, add_special=True, parse_special=True)
    return await asyncio.to_thread(model.tokenizer.encode, text, add_special=True, parse_special=True)


def _job(
    body: Generation,
    model: ServedModel,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    logprobs: int,
    at: str,
) -> Job:
    n = body.n or 1
    if len(prompts) * n > MAX_CHOICES:
        raise refuse(at, f"{len(prompts)} prompts x n = {n} answers; at most {MAX_CHOICES} in one call")
    for prompt in prompts:
        _check_prompt(prompt, model, at)
    seed = secrets.randbits(53) if body.seed is None else body.seed % 2**64  # 53 bits: exact in any JSON reader
    stop_ids = () if body.ignore_eos else tuple(model.stop_ids)
    requests = [
        Request(
            prompt=prompt,
            max_tokens=min(max_tokens, model.context - len(prompt)),
            sampling=_sampling(body, model, seed, choice, logprobs),
            stop_ids=stop_ids,
        )
        for prompt in prompts
        for choice in range(n)
    ]
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return Job(requests, sum(map(len, prompts)), seed, stops, logprobs)


def _check_prompt(prompt: Sequence[int], model: ServedModel, at: str) -> None:
    if not prompt:
        raise refuse(at, "has no tokens, and the model has no token to start from")
    if len(prompt) >= model.context:
        raise refuse(
            at,
            f"{len(prompt)} tokens; the context is {model.context} positions and an answer needs one. "
            "Shorten it, or start the server with a larger --context",
            code="context_length_exceeded",
        )
    worst = max(prompt)
    if worst >= model.vocab_size:
        raise refuse(at, f"names token {worst}; the vocabulary has {model.vocab_size}")


def _sampling(body: Generation, model: ServedModel, seed: int, choice: int, logprobs: int) -> Sampling:
    given = {
        name: value
        for name in (
            "temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty",
            "repetition_penalty",
        )
        if (value := getattr(body, name)) is not None
    }  # fmt: skip
    bias = tuple((body.logit_bias or {}).items())
    sampling = Sampling(**given, seed=seed, choice=choice, logprobs=logprobs, logit_bias=bias)
    try:
        sampling.check(model.vocab_size)
    except SamplingError as error:
        param = str(error).split(maxsplit=1)[0]
        raise ApiError(400, str(error), param=param, code="invalid_value") from error
    return sampling
