"""Converted tokenizers beside those that wrote them: `tokenizers` and `sentencepiece`, id for id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Theirs

from ostinato.convert.errors import ConvertError
from ostinato.convert.vocabulary import pretokenizers
from tests.convert.checkpoints import CORPUS, TEXTS, converted_tokenizer, write_json

SPECIAL = ["<s>", "</s>", "<unk>"]


def byte_level(*steps: Any, use_regex: bool = False, ignore_merges: bool = False) -> Theirs:
    """A byte-level BPE that cuts words by `steps`, trained on a few lines."""
    made = Theirs(models.BPE(ignore_merges=ignore_merges))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    made.pre_tokenizer = pre_tokenizers.Sequence([*steps, last]) if steps else last
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator([CORPUS] * 3, trainer)
    return made


def split(pattern: str) -> Any:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def check(theirs: Theirs, folder: Path, texts: tuple[str, ...] = TEXTS) -> None:
    theirs.save(str(folder / "tokenizer.json"))
    ours = converted_tokenizer(folder, theirs.get_vocab_size())
    for text in (*texts, CORPUS):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, text


BYTE_LEVEL = {
    "gpt-2": lambda: byte_level(use_regex=True),
    "starcoder": lambda: byte_level(pre_tokenizers.Digits(True), use_regex=True),
    "falcon": lambda: byte_level(pre_tokenizers.Punctuation("contiguous"), use_regex=True),
    "llama-bpe": lambda: byte_level(split(pretokenizers._LLAMA3), ignore_merges=True),
    "smaug-bpe": lambda: byte_level(split(pretokenizers._LLAMA3)),
    "qwen2": lambda: byte_level(split(pretokenizers._QWEN2)),
    "qwen35": lambda: byte_level(split(pretokenizers._QWEN35)),
    "gpt-4o": lambda: byte_level(split(pretokenizers._GPT4O)),
    "tekken": lambda: byte_level(split(pretokenizers._TEKKEN), ignore_merges=True),
    "deepseek-v3": lambda: byte_level(
        split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(pretokenizers._DEEPSEEK3)
    ),
}


@pytest.mark.parametrize("name", [name for name in BYTE_LEVEL if name != "falcon"])
def test_byte_level_bpe(tmp_path: Path, name: str) -> None:
    check(BYTE_LEVEL[name](), tmp_path)
    definition = json.loads((tmp_path / "tokenizer.json").read_text())
    assert pretokenizers.pretokenizer_name(definition, "") == name


def test_patterns_are_those_of_published_files() -> None:
    """Letter by letter, as Meta and Alibaba publish them."""
    assert pretokenizers._LLAMA3 == (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    )
    assert pretokenizers._GPT4O == (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def test_an_unknown_pre_tokenizer_is_named(tmp_path: Path) -> None:
    byte_level(split(r"\w+|\W")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConvertError, match=r"unknown pre-tokenizer: \\w\+\|\\W"):
        converted_tokenizer(tmp_path, 600)


def test_bpe_of_whole_text(tmp_path: Path) -> None:
    """As `transformers` writes Llama 2's: merges in the order of their scores."""
    theirs = Theirs(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    theirs.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=500, show_progress=False, special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    )
    theirs.train_from_iterator([CORPUS[:140]] * 2, trainer)
    whole = json.loads(theirs.to_str())
    whole["added_tokens"] = [token for token in whole["added_tokens"] if token["content"] == "<unk>"]
    check(Theirs.from_str(json.dumps(whole)), tmp_path, tuple(text for text in TEXTS if text))


def test_word_piece(tmp_path: Path) -> None:
    theirs = Theirs(models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    theirs.train_from_iterator([CORPUS] * 3, trainer)
    write_json(tmp_path / "tokenizer_config.json", {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"})
    check(theirs, tmp_path, ("Hello world", "It's 12345 o'clock", "naïve café Привет", "你好世界"))


@pytest.mark.parametrize("type", ["bpe", "unigram"])
def test_sentencepiece(tmp_path: Path, type: str) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    (tmp_path / "corpus.txt").write_text("\n".join(CORPUS.split(". ") * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "corpus.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=420, model_type=type,
        byte_fallback=type == "bpe", hard_vocab_limit=False, minloglevel=2,
        normalization_rule_name="identity" if type == "bpe" else "nmt_nfkc",
        remove_extra_whitespaces=type == "unigram",
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    ours = converted_tokenizer(tmp_path, theirs.vocab_size())
    assert (ours.bos_id, ours.eos_id, ours.unknown_id) == (theirs.bos_id(), theirs.eos_id(), theirs.unk_id())
    for text in TEXTS[2:]:
        assert ours.encode(text) == theirs.encode(text), text


def test_special_tokens_and_templates(tmp_path: Path) -> None:
    theirs = byte_level(use_regex=True)
    theirs.add_special_tokens(SPECIAL)
    theirs.add_tokens(["<tool>"])
    theirs.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", theirs.token_to_id("<s>"))]
    )
    theirs.save(str(tmp_path / "tokenizer.json"))
    settings = {
        "bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>",
        "chat_template": [{"name": "default", "template": "D"}, {"name": "tool use", "template": "T"}],
    }  # fmt: skip
    write_json(tmp_path / "tokenizer_config.json", settings)
    ours = converted_tokenizer(tmp_path, theirs.get_vocab_size() + 3)
    ids = [theirs.token_to_id(text) for text in SPECIAL]
    assert [ours.bos_id, ours.eos_id, ours.unknown_id] == ids
    assert ours.add_bos
    assert not ours.add_eos
    assert ours.encode("a<tool></s>", add_special=True, parse_special=True) == theirs.encode("a<tool></s>").ids
    assert ours.encode("</s>") != [ids[1]]
    assert ours.chat_template == "D"
    (tmp_path / "chat_template.jinja").write_text("J")
    assert converted_tokenizer(tmp_path, theirs.get_vocab_size()).chat_template == "J"


def test_ids_of_config_json(tmp_path: Path) -> None:
    byte_level(use_regex=True).save(str(tmp_path / "tokenizer.json"))
    ours = converted_tokenizer(tmp_path, 600, bos_token_id=5, eos_token_id=[7, 8])
    assert (ours.bos_id, ours.eos_id) == (5, 7)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"model": {"type": "WordLevel"}}, "a tokenizer of type 'WordLevel'"),
        ({"model": 3}, "no 'model'"),
        ({"model": {"type": "BPE", "vocab": {"a": 0, "b": 99}, "merges": []}}, "id 99, but the embedding has 8 rows"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b c"]}}, "is not a pair"),
        ({"model": {"type": "BPE", "vocab": [], "merges": []}}, "'vocab' must be an object"),
        ({"model": {"type": "Unigram", "vocab": [["a"]]}}, "list of texts and scores"),
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": [{"id": "x"}]}, "an added token"),
    ],
)
def test_broken_definitions(tmp_path: Path, definition: dict[str, Any], message: str) -> None:
    write_json(tmp_path / "tokenizer.json", {"pre_tokenizer": {"type": "ByteLevel"}, **definition})
    with pytest.raises(ConvertError, match=message):
        converted_tokenizer(tmp_path, 8)


@pytest.mark.parametrize("raw", [b"", b"\x0a", b"\x0a\x05ab", b"\xff" * 12, b"\x0a\x02\x0a\x7f", b"\x0b", b"\x08\x01"])
def test_broken_sentencepiece_models(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(raw)
    with pytest.raises(ConvertError, match=r"tokenizer\.model: "):
        converted_tokenizer(tmp_path, 8)
