"""What an architecture's name says that the file does not: conventions, as data.

Everything else (biases, norms of queries and keys, norms before or after a part, tied output, experts, shared
experts, latent attention) is found from the tensors and the metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ostinato.model.kinds_table import Activation, AttentionMask, HeadOrder, RopeStyle, Scoring
from ostinato.model.reader import Reader
from ostinato.model.spec import Temperature


@dataclass(frozen=True)
class Windows:
    """Which layers see a window only, where the file has `attention.sliding_window` and does not list the layers:
    all but one of every `period` (the last one, or the first); with a period of 1 all."""

    period: int = 1
    whole_first: bool = False
    mask: AttentionMask = AttentionMask.WINDOW
    default: int = 0  # the window of files that do not state it
    base: float | None = None  # of the rotation in such layers, where the file has no `rope.freq_base_swa`
    plain: bool = False  # no rope scaling in such layers


@dataclass(frozen=True)
class Routing:
    """How experts are chosen, where the file does not say (`expert_gating_func`, `expert_weights_norm`)."""

    scoring: Scoring = Scoring.SOFTMAX
    normalise: bool = True
    floor: float = 0.0
    weigh_input: bool = False


@dataclass(frozen=True)
class Traits:
    """Conventions of an architecture; the defaults are those of most."""

    rope: RopeStyle | None = RopeStyle.NEOX  # None: positions do not turn queries and keys
    rope_first: bool = False  # queries and keys are normed after the rotation
    unit_heads: bool = False  # queries and keys of rotated layers are normed without a gain
    unit_values: bool = False  # values are normed without a gain
    keyed_values: bool = False  # layers without values take the projected keys
    unrotated_temperature: Temperature | None = None  # of queries in layers that are not rotated
    rope_in_windows_only: bool = False
    unrotated_period: int = 0  # every n-th layer is not rotated; `no_rope_layer_step` of the file wins
    act: Activation = Activation.SILU
    windows: Windows = Windows()
    attention_scale: Callable[[Reader, int], float] | None = None  # of (file, key_dim); else 1 / sqrt(key_dim)
    embedding_scale: Callable[[Reader], float] | None = None
    logit_scale_divides: bool = False  # `logit_scale` of the file is a divisor
    parallel: bool = False  # attention and feed-forward network side by side
    routing: Routing = Routing()
    glu_limit: float = 0.0
    glu_shift: float = 0.0
    causal: bool = True
    centred: bool = True  # False: never layer norms, though the file names its epsilon so
    head_order: HeadOrder = HeadOrder.GROUPED  # of gated delta nets
