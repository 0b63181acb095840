"""A small llama-architecture mixture of experts in torch, trained by `train_builtin.py`.

Same arithmetic as GGUF's `llama` architecture with experts (Mixtral): RMS norm before each half of a block,
grouped-query attention with rotary pairs (2i, 2i+1), the two best of eight SwiGLU experts weighted by the softmax
over those two, the output tied to the embedding. Parameters are named as GGUF's tensors.
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
    feed_forward: int = 256
    experts: int = 8
    experts_used: int = 2
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


class Attention(nn.Module):
    """x [B, T, width] to the same shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_size
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        query, key, value = (self._split(f(x)) for f in (self.attn_q, self.attn_k, self.attn_v))
        shared = self.shape.heads // self.shape.kv_heads
        key, value = (part.repeat_interleave(shared, dim=1) for part in (rotate(key, angles), value))
        mixed = functional.scaled_dot_product_attention(rotate(query, angles), key, value, attn_mask=mask)
        return self.attn_output(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], -1, self.shape.head_size).transpose(1, 2)


class Stack(nn.Module):
    """One matrix for each expert, [experts, rows, columns]."""

    def __init__(self, experts: int, rows: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, rows, columns))


class Experts(nn.Module):
    """x [N, width] to the weighted sum of each row's chosen experts, and how unevenly the rows chose."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.ffn_gate_inp = nn.Linear(shape.width, shape.experts, bias=False)
        self.ffn_gate_exps = Stack(shape.experts, shape.feed_forward, shape.width)
        self.ffn_up_exps = Stack(shape.experts, shape.feed_forward, shape.width)
        self.ffn_down_exps = Stack(shape.experts, shape.width, shape.feed_forward)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows are sorted by expert, so that each expert multiplies its own rows at once."""
        probabilities = self.ffn_gate_inp(x).softmax(dim=-1)
        best, chosen = probabilities.topk(self.shape.experts_used, dim=-1)
        weights = (best / best.sum(dim=-1, keepdim=True)).flatten()
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=self.shape.experts)
        rows = order // self.shape.experts_used
        parts = torch.split(x.index_select(0, rows), counts.tolist())
        y = torch.cat([self._expert(i, part) for i, part in enumerate(parts)])
        y = torch.zeros_like(x).index_add(0, rows, y * weights.index_select(0, order)[:, None])
        return y, self._imbalance(probabilities, counts)

    def _expert(self, index: int, x: Tensor) -> Tensor:
        gate, up, down = (stack.weight[index] for stack in (self.ffn_gate_exps, self.ffn_up_exps, self.ffn_down_exps))
        return functional.linear(functional.silu(functional.linear(x, gate)) * functional.linear(x, up), down)

    def _imbalance(self, probabilities: Tensor, counts: Tensor) -> Tensor:
        """Experts x sum of share x mean probability: 1 when even (Switch Transformer, arXiv 2101.03961, eq. 4)."""
        shares = counts / counts.sum()
        return self.shape.experts * (shares * probabilities.mean(dim=0)).sum()


class Block(nn.Module):
    """One layer: x + attention(norm(x)), then x + experts(norm(x)); parameters flat, as GGUF names them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = Attention(shape)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.experts = Experts(shape)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.attention(self.attn_norm(x), angles, mask)
        y, imbalance = self.experts(self.ffn_norm(x).flatten(0, 1))
        return x + y.view_as(x), imbalance


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
                out = name.endswith(("attn_output.weight", "ffn_down_exps.weight"))
                nn.init.normal_(weight, std=residual if out else 0.02)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`mask` [B, 1, T, T] is true where a row may look. Also the layers' mean imbalance (1: even)."""
        angles = rotary_angles(self.shape, positions)
        x, uneven = self.token_embd(tokens), []
        for block in self.blk:
            x, imbalance = block(x, angles, mask)
            uneven.append(imbalance)
        return self.output_norm(x), torch.stack(uneven).mean()

    def logits(self, rows: Tensor) -> Tensor:
        """[..., width] to [..., vocab] with the tied embedding."""
        return functional.linear(rows, self.token_embd.weight)

    def gguf_tensors(self) -> dict[str, Tensor]:
        """The weights by their names in a GGUF file."""
        return {
            name.replace("attention.", "").replace("experts.", ""): weight for name, weight in self.state_dict().items()
        }
