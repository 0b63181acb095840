"""Vocabularies: tokenizer.json (BPE, Unigram, WordPiece) and tokenizer.model (SentencePiece) as GGUF metadata."""
