"""CLIP's text encoders: those of SD-Turbo (OpenCLIP-H) and SDXL-Turbo (CLIP-L and OpenCLIP-bigG)."""

from fewstep.export.families.family import Config, Network

TOKENS = 77
VOCABULARY = 49408
TINY: Config = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "vocab_size": 99,
    "max_position_embeddings": 7,
    "projection_dim": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OPENCLIP_H: Config = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": TOKENS,
    "projection_dim": 512,
    "hidden_act": "gelu",
    "eos_token_id": 2,
}
CLIP_L: Config = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": TOKENS,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "eos_token_id": 2,
}
OPENCLIP_BIGG: Config = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": TOKENS,
    "projection_dim": 1280,
    "hidden_act": "gelu",
    "eos_token_id": 2,
}


def clip_text(config: Config, *, projected: bool = False) -> Network:
    return Network("transformers", "CLIPTextModelWithProjection" if projected else "CLIPTextModel", config)
