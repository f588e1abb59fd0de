"""The names that Black Forest Labs' code gives the modules of FLUX, which keep several of diffusers' in one matrix."""

from collections.abc import Iterable, Iterator, Mapping

TOP: Mapping[str, tuple[str, ...]] = {
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
}
DOUBLE: Mapping[str, tuple[str, ...]] = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
}
SINGLE: Mapping[str, tuple[str, ...]] = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
}
BLOCKS = (("double_blocks", "transformer_blocks", DOUBLE), ("single_blocks", "single_transformer_blocks", SINGLE))
SWAPPED = {"final_layer.adaLN_modulation.1": "norm_out.linear"}  # shift then scale, which diffusers has the other way


def flux_names(modules: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The original names, each with the modules whose rows its matrix has, one after the other."""
    names = set(modules)
    for original, parts in TOP.items():
        if names.issuperset(parts):
            yield original, parts
    for original_block, block, table in BLOCKS:
        for i in sorted({name.split(".")[1] for name in names if name.startswith(f"{block}.")}):
            for original, parts in table.items():
                whole = tuple(f"{block}.{i}.{part}" for part in parts)
                if names.issuperset(whole):
                    yield f"{original_block}.{i}.{original}", whole
