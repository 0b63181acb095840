"""The requests of OpenAI's API as types: what is understood, what is accepted because it changes nothing, and
what is refused by name.

Fields and limits: the OpenAI OpenAPI description (CreateChatCompletionRequest, CreateCompletionRequest).
`top_k`, `min_p`, `repetition_penalty` and `ignore_eos` are this server's own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, json

from ostinato.backends.batch_table import MAX_TOP_LOGPROBS
from ostinato.engine.records_table import MAX_BIAS
from ostinato.server.errors import ApiError

MAX_CHOICES = 128  # sequences that one call may start: prompts x n

Temperature = Annotated[float, Meta(ge=0, le=2)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Choices = Annotated[int, Meta(ge=1, le=MAX_CHOICES)]
TopLogprobs = Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)]
StopString = Annotated[str, Meta(min_length=1, max_length=1024)]
Stops = StopString | Annotated[list[StopString], Meta(max_length=4)]
Biases = Annotated[dict[int, float], Meta(max_length=MAX_BIAS)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Meta(min_length=1)]


class StreamOptions(Struct, forbid_unknown_fields=True):
    """`include_obfuscation` pads events against traffic analysis; this server never pads."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Part(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    """A piece of a message: text only."""

    text: str


class ChatMessage(Struct, forbid_unknown_fields=True):
    """A message. The fields after `name` come back with answers that clients echo; they must be empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None
    refusal: Any = None
    audio: Any = None
    annotations: Any = None
    tool_calls: Any = None
    function_call: Any = None

    def check(self, at: str) -> None:
        """Raises ApiError for a field that would have to be answered to."""
        for field in ("refusal", "audio", "annotations", "tool_calls", "function_call"):
            if getattr(self, field):
                raise _unsupported(f"{at}.{field}", "leave it out")

    def plain(self) -> dict[str, str]:
        """As templates take it: one string; `developer` is the newer name of `system`."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": text, **({"name": self.name} if self.name else {})}


class Generation(Struct, kw_only=True, forbid_unknown_fields=True):
    """What both kinds of completion share. None means the default."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Choices | None = None
    max_tokens: Count | None = None
    stop: Stops | None = None
    seed: Seed | None = None
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None

    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    min_p: Fraction | None = None
    repetition_penalty: Annotated[float, Meta(ge=1e-3, le=1e3)] | None = None
    ignore_eos: bool | None = None

    user: Any = None


class ChatRequest(Generation, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=10_000)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    # Accepted where it changes nothing (HARMLESS below).
    audio: Any = None
    function_call: Any = None
    functions: Any = None
    metadata: Any = None
    modalities: Any = None
    moderation: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    def check(self) -> None:
        """Raises ApiError for anything known but unsupported, and for settings that contradict each other."""
        check_generation(self)
        for index, message in enumerate(self.messages):
            message.check(f"messages[{index}]")
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs")
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise ApiError(400, "max_tokens: give it or max_completion_tokens, not both", param="max_tokens")


class CompletionRequest(Generation, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/completions. `logprobs` is a number here."""

    prompt: str | Annotated[list[str | TokenId | TokenIds], Meta(min_length=1)]
    logprobs: TopLogprobs | None = None

    best_of: Any = None
    echo: Any = None
    suffix: Any = None

    def check(self) -> None:
        """Raises ApiError for anything known but unsupported."""
        check_generation(self)
        if self.best_of not in (None, self.n or 1):
            raise _unsupported("best_of", "leave it out, or set it to n")

    def prompts(self) -> list[str | list[int]]:
        """One or many texts or lists of ids. Raises ApiError when the list mixes them."""
        match self.prompt:
            case str() as text:
                return [text]
            case [int(), *_] as ids if all(isinstance(item, int) for item in ids):
                return [ids]  # type: ignore[list-item]
            case [str(), *_] | [list(), *_] as many if len({type(item) for item in many}) == 1:
                return many  # type: ignore[return-value]
        raise ApiError(400, "prompt: mixes texts, token ids and lists of token ids", param="prompt")


ANY = object()

# Known parameters that this server does not act on -> the values that change no answer.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "echo": (None, False),
    "function_call": (None, "none", "auto"),
    "functions": (None, []),
    "metadata": (ANY,),
    "modalities": (None, ["text"]),
    "moderation": (None,),
    "parallel_tool_calls": (None, True, False),
    "prediction": (None,),
    "prompt_cache_key": (ANY,),
    "prompt_cache_options": (ANY,),
    "prompt_cache_retention": (ANY,),
    "reasoning_effort": (None,),
    "response_format": (None, {"type": "text"}),
    "safety_identifier": (ANY,),
    "service_tier": (None, "auto", "default"),
    "store": (None, False),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "user": (ANY,),
    "verbosity": (None, "medium"),
    "web_search_options": (None,),
}  # fmt: skip


def check_generation(request: Generation) -> None:
    """Refuses what is known but unsupported, and stream options without a stream."""
    for name in request.__struct_fields__:
        allowed = HARMLESS.get(name)
        if allowed is not None and ANY not in allowed and getattr(request, name) not in allowed:
            values = " or ".join(json.encode(value).decode() for value in allowed if value is not None)
            raise _unsupported(name, f"leave it out{', or set it to ' + values if values else ''}")
    if request.stream_options is not None and not request.stream:
        raise ApiError(400, "stream_options: only with stream set to true", param="stream_options")


def _unsupported(param: str, remedy: str) -> ApiError:
    message = f"{param}: not supported by this server; {remedy}"
    return ApiError(400, message, param=param, code="unsupported_parameter")
