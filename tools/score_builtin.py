"""How much of its own corpus the built-in model knows: every capital and every sum, asked once, answered greedily.

Run by an interpreter that has llama-cpp-python (an engine that is not ours, so that only the file is judged):

    python -m tools.score_builtin src/ostinato/models/ostinato-tiny.gguf
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import llama_cpp

from tools import corpus_facts as facts

Question = tuple[str, str, str]  # its kind, what is asked, what is answered


def questions() -> Iterator[Question]:
    """Each capital; sums, differences and products of all numbers that the corpus uses."""
    for country, city in facts.CAPITALS.items():
        yield "capitals", f"What is the capital of {country}?", f"The capital of {country} is {city}."
    for a in range(21):
        for b in range(21):
            yield "plus", f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}."
            if a >= b:
                yield "minus", f"What is {a} minus {b}?", f"{a} minus {b} is {a - b}."
            if max(a, b) <= 10:
                yield "times", f"What is {a} times {b}?", f"{a} times {b} is {a * b}."
    for asks, answer in facts.PROJECT:
        yield from (("project", ask, answer) for ask in asks)


def main() -> None:
    """Print how many of each kind are answered word for word."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model")
    model = llama_cpp.Llama(parser.parse_args().model, n_ctx=256, n_threads=1, verbose=False)
    right: dict[str, int] = {}
    asked: dict[str, int] = {}
    for kind, question, expected in questions():
        message = {"role": "user", "content": question}
        answer = model.create_chat_completion([message], temperature=0, max_tokens=64)
        asked[kind] = asked.get(kind, 0) + 1
        right[kind] = right.get(kind, 0) + (answer["choices"][0]["message"]["content"] == expected)
    print(", ".join(f"{kind} {right[kind]}/{asked[kind]}" for kind in asked))


if __name__ == "__main__":
    main()
