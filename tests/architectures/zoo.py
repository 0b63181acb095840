"""Small random models of every architecture: what `transformers` is asked to build.

A row costs a line or two: the configuration's class, and what differs from SMALL. Sizes are chosen so that rows hold
whole 256-element blocks, heads are shared unevenly, and no two sizes that could be mixed up are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCAB = 384
CONTEXT = 1024
SMALL: Mapping[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": CONTEXT,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip


@dataclass(frozen=True)
class Animal:
    """One small model: `config` names a configuration class of transformers, whose causal language model is built.

    `changes` to SMALL (None removes a value); `model`: its class, where transformers does not tell which; `pooling`,
    as sentence-transformers calls it: the model without a head, whose rows become an embedding.
    """

    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    pooling: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in {**SMALL, **self.changes}.items() if value is not None}


def _llama3(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": factor, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 256,
    }  # fmt: skip


def _longrope(dims: int) -> dict[str, Any]:
    return {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 256,
        "short_factor": [1.0 + 0.02 * i for i in range(dims // 2)],
        "long_factor": [1.0 + 0.25 * i for i in range(dims // 2)],
    }  # fmt: skip


_YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 256,
    "beta_fast": 24.0, "beta_slow": 2.0,
}  # fmt: skip
_MSCALE = {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0}
_GROWING = {**_MSCALE, "llama_4_scaling_beta": 0.2}
_LATENT = {
    "num_key_value_heads": 8, "q_lora_rank": 96, "kv_lora_rank": 128, "qk_nope_head_dim": 48, "qk_rope_head_dim": 32,
    "v_head_dim": 40, "moe_intermediate_size": 256, "n_routed_experts": 8, "num_experts_per_tok": 3,
    "n_shared_experts": 1, "first_k_dense_replace": 1, "routed_scaling_factor": 1.5,
}  # fmt: skip
_DELTA = {
    "num_hidden_layers": 4, "head_dim": 32, "linear_num_value_heads": 8, "linear_num_key_heads": 4,
    "linear_key_head_dim": 32, "linear_value_head_dim": 32,
}  # fmt: skip
_SECTIONS = {
    "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25, "mrope_section": [2, 1, 1],
}  # fmt: skip
_MAMBA = {"mamba_n_heads": 16, "mamba_d_head": 32, "mamba_n_groups": 2, "mamba_d_state": 24}
_EXPERTS = {"moe_intermediate_size": 256, "num_experts_per_tok": 2}
_SIGMOID = {**_EXPERTS, "n_routed_experts": 6, "n_shared_experts": 1, "routed_scaling_factor": 1.5}
_GEMMA = {"head_dim": 64, "sliding_window": 12, "query_pre_attn_scalar": 64, "tie_word_embeddings": True}
_GEMMA4 = {
    "num_hidden_layers": 6, "head_dim": 32, "global_head_dim": 64, "sliding_window": 12,
    "vocab_size_per_layer_input": VOCAB,
    "tie_word_embeddings": True, "final_logit_softcapping": 30.0,
    "layer_types": [f"{kind}_attention" for kind in ("sliding", "sliding", "full", "sliding", "sliding", "full")],
}  # fmt: skip
_GRANITE = {
    "attention_multiplier": 0.3, "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "logits_scaling": 2.0,
}  # fmt: skip

_BERT = {"num_key_value_heads": None}

ZOO: Mapping[str, Animal] = {
    "llama": Animal("LlamaConfig"),
    "bert": Animal("BertConfig", _BERT, pooling="cls"),
    "bert-mean": Animal("BertConfig", _BERT, pooling="mean"),
    "roberta": Animal("RobertaConfig", _BERT, pooling="cls"),
    "xlm-roberta": Animal("XLMRobertaConfig", {**_BERT, "pad_token_id": 1}, pooling="mean"),
    "distilbert": Animal(
        "DistilBertConfig",
        {**_BERT, "dim": 256, "hidden_dim": 512, "n_layers": 3, "n_heads": 8},
        pooling="mean",
    ),
    "nomic-bert": Animal("NomicBertConfig", _BERT, pooling="mean"),
    "jina-embeddings-v3": Animal("JinaEmbeddingsV3Config", _BERT, pooling="mean"),
    "modern-bert": Animal(
        "ModernBertConfig", {**_BERT, "num_hidden_layers": 5, "local_attention": 12, "cls_token_id": 1}, pooling="cls"
    ),
    "eurobert": Animal("EuroBertConfig", {"mask_token_id": 0}, pooling="mean"),
    "embedding-gemma": Animal(
        "Gemma3TextConfig", {**_GEMMA, "num_hidden_layers": 7, "use_bidirectional_attention": True}, pooling="mean"
    ),
    "qwen3-embedding": Animal("Qwen3Config", {"head_dim": 64}, pooling="lasttoken"),
    "llama-tied-biased": Animal(
        "LlamaConfig", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 64}
    ),
    "llama3.1": Animal("LlamaConfig", {"rope_parameters": _llama3(8.0)}),
    "llama-linear": Animal(
        "LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}
    ),
    "llama-yarn": Animal("LlamaConfig", {"rope_parameters": _YARN}),
    "mistral": Animal("MistralConfig", {"sliding_window": 12}),
    "mixtral": Animal("MixtralConfig", {"num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": None}),
    "qwen2": Animal("Qwen2Config"),
    "qwen2-window": Animal("Qwen2Config", {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}),
    "qwen2moe": Animal("Qwen2MoeConfig", {**_EXPERTS, "shared_expert_intermediate_size": 256, "num_experts": 6}),
    "qwen3": Animal("Qwen3Config", {"head_dim": 64}),
    "qwen3moe": Animal(
        "Qwen3MoeConfig", {**_EXPERTS, "num_experts": 6, "head_dim": 64, "norm_topk_prob": True, "mlp_only_layers": [1]}
    ),
    "gemma": Animal("GemmaConfig", {"head_dim": 64, "tie_word_embeddings": True}),
    "gemma2": Animal(
        "Gemma2Config",
        {**_GEMMA, "query_pre_attn_scalar": 40, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 8.0},
    ),
    "gemma3": Animal("Gemma3TextConfig", {**_GEMMA, "num_hidden_layers": 7}),
    "gemma4": Animal(
        "Gemma4TextConfig",
        {**_GEMMA4, "attention_k_eq_v": True, "num_global_key_value_heads": 2, "hidden_size_per_layer_input": 0},
    ),
    "gemma4-e": Animal(
        "Gemma4TextConfig",
        {**_GEMMA4, "hidden_size_per_layer_input": 32, "num_kv_shared_layers": 3, "use_double_wide_mlp": True},
    ),
    "gemma4-moe": Animal(
        "Gemma4TextConfig",
        {
            **_GEMMA4,
            **_EXPERTS,
            "hidden_size_per_layer_input": 0,
            "enable_moe_block": True,
            "num_experts": 6,
            "num_experts_per_tok": None,
            "top_k_experts": 2,
        },
    ),
    "phi3": Animal("Phi3Config", {"sliding_window": 12}),
    "phi3-longrope": Animal("Phi3Config", {"rope_parameters": _longrope(32), "original_max_position_embeddings": 256}),
    "gpt2": Animal("GPT2Config", {"num_key_value_heads": None, "tie_word_embeddings": True}),
    "starcoder": Animal("GPTBigCodeConfig", {"num_key_value_heads": None, "tie_word_embeddings": True}),
    "starcoder-unshared": Animal(
        "GPTBigCodeConfig",
        {"num_key_value_heads": None, "multi_query": False, "activation_function": "gelu", "tie_word_embeddings": True},
    ),
    "pythia": Animal("GPTNeoXConfig", {"num_key_value_heads": None, "intermediate_size": 768}),
    "pythia-serial": Animal(
        "GPTNeoXConfig", {"num_key_value_heads": None, "use_parallel_residual": False, "hidden_act": "gelu_fast"}
    ),
    "phi2": Animal("PhiConfig"),
    "stablelm": Animal("StableLmConfig", {"use_qkv_bias": True}),
    "nemotron": Animal("NemotronConfig"),
    "granite": Animal("GraniteConfig", _GRANITE),
    "granitemoe": Animal("GraniteMoeConfig", {**_GRANITE, "num_local_experts": 6, "num_experts_per_tok": 2}),
    "olmoe": Animal(
        "OlmoeConfig", {"num_key_value_heads": 8, "num_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 256}
    ),
    "smollm3": Animal("SmolLM3Config", {"num_hidden_layers": 5}),
    "starcoder2": Animal("Starcoder2Config", {"sliding_window": 12}),
    "mistral3": Animal("Ministral3Config", {"head_dim": 64, "rope_parameters": _GROWING}),
    "mistral4": Animal(
        "Mistral4Config",
        {**_LATENT, "n_group": 1, "topk_group": 1, "head_dim": None, "rope_parameters": _GROWING},
        "Mistral4ForCausalLM",
    ),
    "hunyuan-moe": Animal("HunYuanMoEV1Config", {"num_experts": 6, "moe_topk": 2, "head_dim": 32}),
    "hunyuan-dense": Animal("HunYuanDenseV1Config", {"head_dim": 64}),
    "ernie4.5": Animal("Ernie4_5Config", {"head_dim": 64}),
    "ernie4.5-moe": Animal(
        "Ernie4_5_MoeConfig", {"moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 256, "moe_layer_end_index": 2}
    ),
    "exaone4": Animal("Exaone4Config", {"num_hidden_layers": 5, "sliding_window": 12}),
    "olmo2": Animal("Olmo2Config"),
    "olmo3": Animal("Olmo3Config", {"num_hidden_layers": 5, "sliding_window": 12}),
    "seed-oss": Animal("SeedOssConfig", {"head_dim": 64}),
    "arcee": Animal("ArceeConfig"),
    "dots1": Animal(
        "Dots1Config", {**_SIGMOID, "num_key_value_heads": 8, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
    ),
    "qwen3next": Animal(
        "Qwen3NextConfig", {**_DELTA, **_EXPERTS, "shared_expert_intermediate_size": 256, "num_experts": 6}
    ),
    "qwen35": Animal("Qwen3_5TextConfig", {**_DELTA, "rope_parameters": _SECTIONS}),
    "qwen35moe": Animal(
        "Qwen3_5MoeTextConfig",
        {**_DELTA, **_EXPERTS, "rope_parameters": _SECTIONS, "shared_expert_intermediate_size": 256, "num_experts": 6},
    ),
    "granitehybrid": Animal(
        "GraniteMoeHybridConfig",
        {
            **_GRANITE,
            **_MAMBA,
            "layer_types": ["mamba", "attention", "mamba"],
            "num_local_experts": 6,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 256,
            "position_embedding_type": "rope",
        },
    ),
    "nemotron-h": Animal(
        "NemotronHConfig",
        {
            "num_hidden_layers": None,
            "hybrid_override_pattern": "M*-M",
            "head_dim": 32,
            "mamba_num_heads": 8,
            "time_step_min": 1e-12,  # transformers 5 clamps steps here; no GGUF key tells it, and llama.cpp does not
            "mamba_head_dim": 32,
            "n_groups": 2,
            "ssm_state_size": 16,
        },
    ),
    "lfm2": Animal("Lfm2Config", {"layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 256}),
    "lfm2moe": Animal(
        "Lfm2MoeConfig",
        {**_EXPERTS, "layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1, "num_experts": 6},
    ),
    "kimi-linear": Animal(
        "KimiLinearConfig",
        {
            **_LATENT,
            "q_lora_rank": None,
            "num_experts": 8,
            "n_routed_experts": None,
            "num_experts_per_token": 3,
            "num_shared_experts": 1,
            "n_shared_experts": None,
            "linear_attn_config": {
                "full_attn_layers": [2],
                "kda_layers": [1, 3],
                "head_dim": 32,
                "num_heads": 8,
                "short_conv_kernel_size": 4,
            },
        },
    ),
    "gpt-oss": Animal(
        "GptOssConfig",
        {
            **_EXPERTS,
            "num_local_experts": 6,
            "head_dim": 32,
            "sliding_window": 12,
            "rope_parameters": _YARN,
            "intermediate_size": 256,
        },
    ),
    "llama4": Animal(
        "Llama4TextConfig",
        {
            "num_hidden_layers": 5,
            "head_dim": 32,
            "intermediate_size": 256,
            "intermediate_size_mlp": 512,
            "num_local_experts": 6,
            "attention_chunk_size": 24,
            "interleave_moe_layer_step": 2,
        },
    ),
    "glm4moe": Animal("Glm4MoeConfig", {**_SIGMOID, "use_qk_norm": True, "first_k_dense_replace": 1, "head_dim": 64}),
    "minimax-m2": Animal("MiniMaxM2Config", {**_EXPERTS, "num_local_experts": 6, "head_dim": 32, "rotary_dim": 16}),
    "glm4": Animal("Glm4Config", {"head_dim": 64}),
    "command-r": Animal("CohereConfig", {"use_qk_norm": True, "tie_word_embeddings": True, "logit_scale": 0.25}),
    "deepseek-v2": Animal("DeepseekV2Config", {**_LATENT, "q_lora_rank": None, "topk_method": "greedy"}),
    "deepseek-v2-groups": Animal(
        "DeepseekV2Config",
        {**_LATENT, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "rope_parameters": _MSCALE},
    ),
    "deepseek-v3": Animal("DeepseekV3Config", {**_LATENT, "n_group": 4, "topk_group": 2, "rope_parameters": _MSCALE}),
    "cohere2": Animal(
        "Cohere2Config",
        {"num_hidden_layers": 5, "sliding_window": 12, "tie_word_embeddings": True, "logit_scale": 0.25},
    ),
}
