"""How the built-in model answers what it was never trained on: all held-out wordings and sums, greedily.

Run by an interpreter that has llama-cpp-python (an engine that is not ours, so that only the file is judged):

    python -m tools.score_builtin src/ostinato/models/ostinato-tiny.gguf
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import chain

import llama_cpp

from tools.corpus_unseen import Question, unseen_sums, unseen_wordings


def answer(model: llama_cpp.Llama, question: Question) -> str:
    """What the model says, to the end of its turn."""
    found = model.create_chat_completion(
        [llama_cpp.ChatCompletionRequestUserMessage(role="user", content=question.ask)], temperature=0, max_tokens=64
    )
    assert isinstance(found, dict)
    return str(found["choices"][0]["message"]["content"])


def main() -> None:
    """Print how many of each kind are answered word for word."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model")
    parser.add_argument("--every", type=int, default=1, help="ask only every so many-th question")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers")
    options = parser.parse_args()
    model = llama_cpp.Llama(options.model, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for question in list(chain(unseen_wordings(), unseen_sums()))[:: options.every]:
        found = answer(model, question)
        asked[question.kind] += 1
        right[question.kind] += found == question.answer
        if options.wrong and found != question.answer:
            print(f"{question.ask}\n  {found}\n  {question.answer}")
    print(", ".join(f"{kind} {right[kind]}/{asked[kind]}" for kind in asked))


if __name__ == "__main__":
    main()
