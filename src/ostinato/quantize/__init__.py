"""Quantising: which tensor gets which type (`mixes`, `rules`), values to blocks (`encode`), file to file (`file`)."""
