"""GGUF files: a memory-mapped reader that checks everything, a writer, block formats, the tokenizer."""
