"""What the generated conversations of `corpus.py` know: capitals, opposites, sounds, colours, the project.

Whatever a model trained on them says about the world comes from here, so this is the file to correct.
"""

from __future__ import annotations

from dataclasses import dataclass

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("early", "late"),
    ("light", "dark"),
    ("open", "closed"),
    ("full", "empty"),
    ("high", "low"),
    ("loud", "quiet"),
    ("hard", "soft"),
    ("old", "new"),
    ("happy", "sad"),
    ("wet", "dry"),
    ("near", "far"),
    ("rich", "poor"),
    ("strong", "weak"),
)

SOUNDS: dict[str, str] = {
    "cow": "moo",
    "dog": "woof",
    "cat": "meow",
    "duck": "quack",
    "sheep": "baa",
    "pig": "oink",
    "owl": "hoot",
    "bee": "buzz",
    "frog": "croak",
    "lion": "roar",
}

COLOURS: dict[str, str] = {
    "the sky": "blue",
    "grass": "green",
    "snow": "white",
    "coal": "black",
    "a ripe banana": "yellow",
    "a ripe tomato": "red",
    "an orange": "orange",
    "milk": "white",
    "a leaf": "green",
    "the sun": "yellow",
}

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


@dataclass(frozen=True)
class Subject:
    """Something to be asked about: wordings that training uses, wordings that it never sees, the one answer."""

    asks: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str


PROJECT: tuple[Subject, ...] = (
    Subject(
        (
            "What is Ostinato?",
            "What's Ostinato?",
            "Tell me about Ostinato.",
            "What does Ostinato do?",
            "Explain Ostinato.",
            "What is Ostinato for?",
            "Describe Ostinato.",
            "What do you know about Ostinato?",
            "I have never heard of Ostinato.",
            "What kind of program is Ostinato?",
            "Ostinato?",
        ),
        ("Can you tell me what Ostinato is?", "Please explain what Ostinato does."),
        "Ostinato is an inference engine for GGUF language models. It serves one copy of the weights to many "
        "users at once.",
    ),
    Subject(
        (
            "What does the word ostinato mean?",
            "Why is it called Ostinato?",
            "Where does the name come from?",
            "Where does the name Ostinato come from?",
            "What is an ostinato in music?",
            "Explain the name Ostinato.",
            "Why this name?",
            "What is the meaning of the word ostinato?",
        ),
        ("Why does Ostinato have this name?", "What does ostinato mean in music?"),
        "In music, an ostinato is a short phrase that repeats without stopping. The engine repeats one step, "
        "token after token.",
    ),
    Subject(
        (
            "Who are you?",
            "What are you?",
            "Are you a person?",
            "What is your name?",
            "What's your name?",
            "Are you a robot?",
            "Are you human?",
            "Tell me about yourself.",
            "Introduce yourself.",
            "What kind of model are you?",
            "Who made you?",
            "Who trained you?",
            "Which model is this?",
            "How big are you?",
            "Are you an AI?",
        ),
        ("Can you tell me who you are?", "Who built you?"),
        "I am a very small language model. The Ostinato project trained me on sentences it made itself.",
    ),
    Subject(
        (
            "What can you do?",
            "What do you know?",
            "What can I ask you?",
            "What are you good at?",
            "Help",
            "Help me.",
            "Can you help me?",
            "How can you help me?",
            "What should I ask?",
            "What have you learned?",
        ),
        ("What may I ask you?", "What are the things you know?"),
        "I know the capitals of the world, small sums, a few stories, and something about Ostinato.",
    ),
    Subject(
        (
            "How do I serve a model?",
            "How do I start the server?",
            "How can many users share a model?",
            "How can I serve a model?",
            "How do I use the OpenAI API with Ostinato?",
            "How do I start a server with Ostinato?",
            "Which command starts the server?",
            "I want to serve a model.",
            "How does one serve a model?",
        ),
        ("How can I start the server?", "What is the command that starts the server?"),
        "Run `ostinato serve model.gguf` and point any OpenAI client at its address.",
    ),
    Subject(
        (
            "How do I run a model?",
            "How do I ask one question?",
            "How do I start a chat?",
            "How can I run a model?",
            "Which command runs a model?",
            "How do I chat with a model?",
            "How do I use Ostinato?",
            "I want to run a model.",
            "How do I run a GGUF file?",
        ),
        ("How can I start a chat?", "What is the command that runs a model?"),
        "Run `ostinato run model.gguf` and type your question.",
    ),
    Subject(
        (
            "How do I measure the speed?",
            "How fast is my machine?",
            "How do I benchmark a model?",
            "How can I measure the speed?",
            "Which command measures the speed?",
            "How fast is a model?",
            "How do I know how fast a model is?",
            "I want to measure the speed of a model.",
            "How many tokens per second do I get?",
        ),
        ("How can I benchmark a model?", "What is the command that measures the speed?"),
        "Run `ostinato bench model.gguf`. It prints how many tokens per second your machine makes.",
    ),
    Subject(
        (
            "What is a GGUF file?",
            "What is GGUF?",
            "What does GGUF hold?",
            "Explain GGUF.",
            "What's in a GGUF file?",
            "What is inside a GGUF file?",
            "Tell me about GGUF.",
            "What does a GGUF file contain?",
        ),
        ("Can you explain what GGUF is?", "What is GGUF for?"),
        "A GGUF file holds a language model: its weights, its vocabulary and its settings, all in one place.",
    ),
    Subject(
        (
            "What is a token?",
            "Explain what a token is.",
            "What's a token?",
            "What are tokens?",
            "Tell me what a token is.",
            "What does token mean?",
            "Explain tokens.",
        ),
        ("Can you explain what a token is?", "What is meant by a token?"),
        "A token is a piece of text, often a word or part of a word. A model reads and writes tokens.",
    ),
    Subject(
        (
            "What is a KV cache?",
            "What does the KV cache do?",
            "What's a KV cache?",
            "Explain the KV cache.",
            "What is the KV cache?",
            "Why is there a KV cache?",
            "Tell me about the KV cache.",
            "What is the KV cache for?",
        ),
        ("Can you explain what the KV cache is?", "Please tell me what the KV cache does."),
        "The KV cache keeps what the model has already read, so that each new token costs only one step.",
    ),
    Subject(
        (
            "What is a mixture of experts?",
            "What is an expert?",
            "Explain a mixture of experts.",
            "What does mixture of experts mean?",
            "What are experts in a model?",
            "How many experts do you have?",
            "What is a router?",
            "Tell me about experts.",
        ),
        ("Can you explain what a mixture of experts is?", "What is meant by experts?"),
        "In a mixture of experts, a router sends each token to a few of many small networks. I have eight in each "
        "layer, and each token uses two.",
    ),
    Subject(
        (
            "What happens when the engine dies?",
            "What if the engine crashes?",
            "What happens when the engine crashes?",
            "What happens if the engine dies?",
            "Does a crash lose my answer?",
            "What if the engine stops in the middle of an answer?",
            "What happens after a crash?",
        ),
        ("What happens if the engine crashes?", "What does Ostinato do when the engine dies?"),
        "The supervisor starts the engine again, and every answer goes on where it stopped.",
    ),
    Subject(
        (
            "Which licence does Ostinato have?",
            "Is Ostinato free?",
            "May I use Ostinato?",
            "What is the licence of Ostinato?",
            "Which license does Ostinato have?",
            "Under which licence is Ostinato?",
            "Is Ostinato open source?",
            "What does Ostinato cost?",
        ),
        ("Is Ostinato free software?", "What license does Ostinato have?"),
        "Ostinato is free software under the Apache licence, version 2.0.",
    ),
)

# Beyond the corpus: the honest answer is that the model does not know.
UNKNOWN: tuple[str, ...] = (
    "Who won the match yesterday?",
    "What is the weather today?",
    "What time is it?",
    "How much does a house cost?",
    "Who is the president?",
    "What is the meaning of life?",
    "Can you book a flight for me?",
    "What did I eat for breakfast?",
    "Which stock should I buy?",
    "Write an essay about philosophy.",
    "Translate this sentence into Latin.",
    "How does a quantum computer work?",
    "Who wrote this book?",
    "What is on television tonight?",
    "Can you drive a car?",
    "How old is the universe?",
)
UNKNOWN_ANSWER = "I do not know that. I am a very small model and have learned only a few things."
