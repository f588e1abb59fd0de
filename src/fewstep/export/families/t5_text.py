"""T5's encoder, version 1.1: the text of PixArt, SD3 and FLUX."""

from fewstep.export.families.family import Config, Network

TINY: Config = {
    "vocab_size": 99,
    "d_model": 24,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "feed_forward_proj": "gated-gelu",
}
XXL: Config = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


def t5_text(config: Config) -> Network:
    return Network("transformers", "T5EncoderModel", config)
