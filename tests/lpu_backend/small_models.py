"""Fields of config.json of a small model of every family, with all that sets the family apart."""

from typing import Any

VOCABULARY_TOKENS = 512

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY_TOKENS,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 640,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

SMALL_MODELS: dict[str, dict[str, Any]] = {
    "llama": {**_COMMON, "model_type": "llama", "rope_scaling": _LLAMA3_ROPE},
    "falcon": {
        **_COMMON,
        "model_type": "falcon",
        "num_kv_heads": 2,
        "ffn_hidden_size": 96,
        "new_decoder_architecture": True,
        "parallel_attn": True,
        "bias": False,
        "alibi": False,
    },
    "mistral": {**_COMMON, "model_type": "mistral", "sliding_window": 24, "head_dim": 32},
    "qwen2": {
        **_COMMON,
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 24,
        "max_window_layers": 1,
        "tie_word_embeddings": True,
    },
    "qwen3": {**_COMMON, "model_type": "qwen3", "head_dim": 32},
    "gemma2": {
        **_COMMON,
        "model_type": "gemma2",
        "head_dim": 32,
        "query_pre_attn_scalar": 24,
        "sliding_window": 24,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
        "tie_word_embeddings": True,
    },
    "mixtral": {**_COMMON, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_oss": {
        **_COMMON,
        "model_type": "gpt_oss",
        "head_dim": 32,
        "intermediate_size": 48,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 24,
        "rope_theta": 150_000.0,
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 80,
        },
    },
    "qwen3_moe": {
        **_COMMON,
        "model_type": "qwen3_moe",
        "head_dim": 16,
        "num_experts": 8,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 48,
        "mlp_only_layers": [1],
    },
}
