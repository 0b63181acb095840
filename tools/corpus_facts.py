"""What the generated conversations of `corpus.py` know: capitals, opposites, sounds, colours, the project.

Whatever a model trained on them says about the world comes from here, so this is the file to correct.
"""

from __future__ import annotations

CAPITALS: dict[str, str] = {
    "Argentina": "Buenos Aires",
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Brazil": "Brasilia",
    "Bulgaria": "Sofia",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Colombia": "Bogota",
    "Croatia": "Zagreb",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Estonia": "Tallinn",
    "Ethiopia": "Addis Ababa",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Ghana": "Accra",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iceland": "Reykjavik",
    "India": "New Delhi",
    "Indonesia": "Jakarta",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Latvia": "Riga",
    "Lithuania": "Vilnius",
    "Mexico": "Mexico City",
    "Mongolia": "Ulaanbaatar",
    "Morocco": "Rabat",
    "Nepal": "Kathmandu",
    "New Zealand": "Wellington",
    "Nigeria": "Abuja",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Romania": "Bucharest",
    "Senegal": "Dakar",
    "Serbia": "Belgrade",
    "Slovakia": "Bratislava",
    "Slovenia": "Ljubljana",
    "South Korea": "Seoul",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Switzerland": "Bern",
    "Thailand": "Bangkok",
    "Tunisia": "Tunis",
    "Turkey": "Ankara",
    "Uganda": "Kampala",
    "Ukraine": "Kyiv",
    "Uruguay": "Montevideo",
    "Vietnam": "Hanoi",
    "Zambia": "Lusaka",
}

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

# Questions about the project (any of the first goes with the answer).
PROJECT: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("What is Ostinato?", "Tell me about Ostinato.", "What does Ostinato do?", "Explain Ostinato."),
        "Ostinato is an inference engine for GGUF language models. It serves one copy of the weights to many "
        "users at once.",
    ),
    (
        ("What does the word ostinato mean?", "Why is it called Ostinato?", "Where does the name come from?"),
        "In music, an ostinato is a short phrase that repeats without stopping. The engine repeats one step, "
        "token after token.",
    ),
    (
        ("Who are you?", "What are you?", "Are you a person?", "What is your name?"),
        "I am a very small language model. The Ostinato project trained me on sentences it made itself.",
    ),
    (
        ("How do I serve a model?", "How do I start the server?", "How can many users share a model?"),
        "Run `ostinato serve model.gguf` and point any OpenAI client at its address.",
    ),
    (
        ("How do I run a model?", "How do I ask one question?", "How do I start a chat?"),
        "Run `ostinato run model.gguf` and type your question.",
    ),
    (
        ("How do I measure the speed?", "How fast is my machine?", "How do I benchmark a model?"),
        "Run `ostinato bench model.gguf`. It prints how many tokens per second your machine makes.",
    ),
    (
        ("What is a GGUF file?", "What is GGUF?", "What does GGUF hold?"),
        "A GGUF file holds a language model: its weights, its vocabulary and its settings, all in one place.",
    ),
    (
        ("What is a token?", "Explain what a token is."),
        "A token is a piece of text, often a word or part of a word. A model reads and writes tokens.",
    ),
    (
        ("What is a KV cache?", "What does the KV cache do?"),
        "The KV cache keeps what the model has already read, so that each new token costs only one step.",
    ),
    (
        ("What happens when the engine dies?", "What if the engine crashes?"),
        "The supervisor starts the engine again, and every answer goes on where it stopped.",
    ),
    (
        ("Which licence does Ostinato have?", "Is Ostinato free?", "May I use Ostinato?"),
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
