"""Prompt rows on the tensor cores: Triton kernels, compiled ahead into the cubins beside them (tools/cubins.py)."""
