"""A small llama-architecture transformer in torch, trained by `train_builtin.py`.

Same arithmetic as GGUF's `llama` architecture: RMS norm before each half of a block, grouped-query attention
with rotary pairs (2i, 2i+1), SwiGLU, the output tied to the embedding. Parameters are named as GGUF's tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; every weight's row length is a multiple of 256, so that all block formats fit."""

    vocab: int
    layers: int = 4
    width: int = 256
    heads: int = 8
    kv_heads: int = 4
    feed_forward: int = 768
    context: int = 1024
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.heads


def rotary_angles(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B, 1, T, head_size / 2] of position x base^(-2i / head_size) for positions [B, T]."""
    exponent = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = positions[:, None, :, None].float() * shape.rope_base**-exponent
    return angles.cos(), angles.sin()


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (2i, 2i+1) of x [B, H, T, head_size] by its angle."""
    cos, sin = angles
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_size
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        h = self.attn_norm(x)
        query, key, value = (self._split(f(h)) for f in (self.attn_q, self.attn_k, self.attn_v))
        mixed = functional.scaled_dot_product_attention(
            rotate(query, angles), rotate(key, angles), value, attn_mask=mask, enable_gqa=True
        )
        x = x + self.attn_output(mixed.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.shape.head_size)).transpose(1, 2)


class TinyLlama(nn.Module):
    """Token ids [B, T] to hidden rows [B, T, width]; `logits` maps chosen rows to the vocabulary."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self._initialise()

    def _initialise(self) -> None:
        """Normal(0, 0.02), the residual outputs smaller by sqrt(2 x layers), as GPT-2 does."""
        residual = 0.02 / (2 * self.shape.layers) ** 0.5
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                out = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=residual if out else 0.02)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """`mask` [B, 1, T, T] is true where a row may look."""
        angles = rotary_angles(self.shape, positions)
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, angles, mask)
        return self.output_norm(x)

    def logits(self, rows: Tensor) -> Tensor:
        """[..., width] to [..., vocab] with the tied embedding."""
        return functional.linear(rows, self.token_embd.weight)
