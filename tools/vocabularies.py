"""Tokenizer metadata for GGUF files: a made-up SentencePiece vocabulary of any size, and a byte-level BPE one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, product
from string import ascii_lowercase

from ostinato.gguf.writer import GGUFWriter

# tokenizer.ggml.token_type (enum llama_token_type of llama.cpp).
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPACE = "\u2581"  # SentencePiece writes a space so
_CHARACTERS = SPACE + ascii_lowercase + "etaoin".upper() + "0123456789.,!?'\"-:;()"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _pieces() -> Iterator[str]:
    """Single characters, then words of one, two, three letters with and without the space, without end in sight."""
    yield from _CHARACTERS
    length = 1
    while True:
        for letters in product(ascii_lowercase, repeat=length):
            word = "".join(letters)
            yield SPACE + word
            if length > 1:
                yield word
        length += 1


def made_up_pieces(count: int) -> list[str]:
    """The first `count` pieces, all different."""
    return list(islice(_pieces(), count))


def add_sentencepiece(writer: GGUFWriter, size: int) -> None:
    """A `llama` (SentencePiece BPE) tokenizer of `size` >= 320 pieces: three specials, 256 bytes, made-up pieces.

    Earlier pieces have higher scores, so that text falls into pieces by the usual merging.
    """
    special = ["<unk>", "<s>", "</s>"]
    octets = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = made_up_pieces(size - len(special) - len(octets))
    writer.add("tokenizer.ggml.model", "llama")
    writer.add("tokenizer.ggml.tokens", [*special, *octets, *pieces])
    scores = [0.0] * (len(special) + len(octets)) + [-float(rank) for rank in range(len(pieces))]
    writer.add("tokenizer.ggml.scores", scores)
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * len(octets), *[NORMAL] * len(pieces)]
    writer.add("tokenizer.ggml.token_type", types)
    writer.add("tokenizer.ggml.bos_token_id", 1)
    writer.add("tokenizer.ggml.eos_token_id", 2)
    writer.add("tokenizer.ggml.unknown_token_id", 0)
    writer.add("tokenizer.ggml.add_bos_token", True)


def add_byte_level(writer: GGUFWriter, tokens: Sequence[str], merges: Sequence[Sequence[str]]) -> None:
    """A `gpt2` byte-level BPE tokenizer whose first three tokens are <|endoftext|>, <|im_start|> and <|im_end|>.

    Speaks the ChatML template; an answer ends with <|im_end|>.
    """
    writer.add("tokenizer.ggml.model", "gpt2")
    writer.add("tokenizer.ggml.pre", "smollm")
    writer.add("tokenizer.ggml.tokens", list(tokens))
    writer.add("tokenizer.ggml.token_type", [CONTROL] * 3 + [NORMAL] * (len(tokens) - 3))
    writer.add("tokenizer.ggml.merges", [" ".join(pair) for pair in merges])
    writer.add("tokenizer.ggml.bos_token_id", 0)
    writer.add("tokenizer.ggml.eos_token_id", 2)
    writer.add("tokenizer.ggml.padding_token_id", 0)
    writer.add("tokenizer.ggml.add_bos_token", False)
    writer.add("tokenizer.chat_template", CHATML)
