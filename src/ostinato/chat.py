"""Chat templates: messages -> the text a model was trained to continue.

A template is a program by a stranger, read from the model file. It is rendered by a child process with little
memory and little time, so that one that runs away takes nothing with it (see chat_worker.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.marks import Marks, encode_shielded

if TYPE_CHECKING:
    from ostinato.gguf.tokenizer import Tokenizer

Message = Mapping[str, Any]  # role, content, perhaps name

PATIENCE = 30.0  # seconds on the wall for one rendering; the child itself stops after two of work
MAX_ANSWER = 64 << 20  # bytes
MAX_ERROR = 1000  # characters of what a template says against its messages


class ChatError(ValueError):
    """A template that is absent, broken, refuses these messages, or runs away; the text says which."""


class ChatTemplate:
    """One model's template. Rendering is thread-safe, one at a time; the child starts on first use (or `start`)."""

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        self._hello = {"source": source, "bos_token": bos_token, "eos_token": eos_token}
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate | None:
        """The template that came with a tokenizer; None where there is none."""
        if tokenizer.chat_template is None:
            return None
        bos, eos = (
            "" if id is None else tokenizer.token_bytes(id).decode(errors="replace")
            for id in (tokenizer.bos_id, tokenizer.eos_id)
        )
        return cls(tokenizer.chat_template, bos, eos)

    def start(self) -> None:
        """Starts the child without waiting for it."""
        with self._lock:
            self._running()

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """The prompt. Raises ChatError."""
        question = {"messages": list(messages), "add_generation_prompt": add_generation_prompt}
        with self._lock:
            answer = self._ask(question)
        if "error" in answer:
            raise ChatError(f"the model's chat template: {answer['error'][:MAX_ERROR]}")
        return str(answer["text"])

    def close(self) -> None:
        """Ends the child."""
        with self._lock:
            self._end()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
            return dict(json.loads(self._read_line(child)))
        except (OSError, EOFError, ValueError) as error:
            self._end()
            return {"error": f"it was stopped: too much time or memory for one prompt ({error})"}

    def _read_line(self, child: subprocess.Popen[bytes]) -> bytes:
        assert child.stdout is not None
        line = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                part = os.read(child.stdout.fileno(), 1 << 16) if selector.select(PATIENCE) else b""
                if not part or len(line) > MAX_ANSWER:
                    raise EOFError("no answer")
                line += part
        return bytes(line)

    def _running(self) -> subprocess.Popen[bytes]:
        """The child, started when it is not there. It is told the template first."""
        if self._child is None or self._child.poll() is not None:
            self._end()
            command = [sys.executable, "-m", "ostinato.chat_worker"]
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
            assert self._child.stdin is not None
            with contextlib.suppress(OSError):  # it died over the template: reading its answer will say so
                self._child.stdin.write(json.dumps(self._hello).encode() + b"\n")
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                _close_quietly(pipe)


class Vocabulary(Protocol):
    """What encoding a prompt needs of a tokenizer."""

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> Sequence[int]: ...

    def control_texts(self) -> list[str]: ...


class ChatEncoder:
    """Messages -> token ids: a template and its tokenizer. Marks inside messages stay text (marks.py)."""

    def __init__(self, template: ChatTemplate, tokenizer: Vocabulary) -> None:
        self._template, self._tokenizer = template, tokenizer

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatEncoder | None:
        """For the template that came with a tokenizer; None where there is none."""
        template = ChatTemplate.of(tokenizer)
        return None if template is None else cls(template, tokenizer)

    def start(self) -> None:
        """Starts the template's child without waiting for it."""
        self._template.start()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the prompt. Raises ChatError."""
        text = self._template.render(self._marks.shield_messages(messages))
        return encode_shielded(text, lambda piece: self._tokenizer.encode(piece, parse_special=True))

    def close(self) -> None:
        """Ends the template's child."""
        self._template.close()

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self._tokenizer.control_texts())


def _close_quietly(pipe: Any) -> None:
    """A pipe to a dead child may still hold unwritten bytes."""
    try:
        pipe.close()
    except OSError:
        return


def _environment() -> dict[str, str]:
    """The child imports this very package, wherever it lies."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
