"""Networks of diffusers under the names of their original code, in one file: the way back from what is loaded."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip
UNET = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}  # fmt: skip
Z_IMAGE = {"all_final_layer.2-1": "final_layer", "all_x_embedder.2-1": "x_embedder", ".to_out.0.": ".out.",
           ".norm_q.": ".q_norm.", ".norm_k.": ".k_norm."}  # fmt: skip
SD3 = {"time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0", "time_text_embed.text_embedder.linear_1":
       "y_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
       "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2", "pos_embed.pos_embed": "pos_embed",
       "pos_embed.proj": "x_embedder.proj", "norm_out.linear": "final_layer.adaLN_modulation.1"}  # fmt: skip
SD3_BLOCK = {"attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k",
             "attn.to_out.0": "x_block.attn.proj",
             "attn.norm_added_q": "context_block.attn.ln_q", "attn.norm_added_k": "context_block.attn.ln_k",
             "attn.to_add_out": "context_block.attn.proj", "norm1.linear": "x_block.adaLN_modulation.1",
             "norm1_context.linear": "context_block.adaLN_modulation.1", "ff.net.0.proj": "x_block.mlp.fc1",
             "ff.net.2": "x_block.mlp.fc2", "ff_context.net.0.proj": "context_block.mlp.fc1",
             "ff_context.net.2": "context_block.mlp.fc2"}  # fmt: skip
CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj"}  # fmt: skip


def unet(module: nn.Module, layers: int = 1) -> State:
    """Of a UNet2DConditionModel with `layers` resnets a block: Stable Diffusion's names."""
    out = {}
    state = module.state_dict()
    for name, value in state.items():
        stem, _, leaf = name.rpartition(".")
        if stem in UNET:
            out[f"{UNET[stem]}.{leaf}"] = value
            continue
        block, i, kind, j, rest = re.fullmatch(r"(down|mid|up)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.*)", name).groups()  # type: ignore[union-attr]
        first = "" if block == "mid" else f"{int(i) * (layers + 1) + int(j) + (block == 'down')}"
        place = {"down": f"input_blocks.{first}", "mid": "middle_block", "up": f"output_blocks.{first}"}[block]
        if kind == "resnets":
            part, _, leaf = rest.rpartition(".")
            inner = {"mid": f".{2 * int(j)}"}.get(block, ".0")
            out[f"{place}{inner}.{RESNET[part]}.{leaf}"] = value
        elif kind == "attentions":
            out[f"{place}.1.{rest}"] = value
        elif kind == "downsamplers":
            out[f"input_blocks.{(int(i) + 1) * (layers + 1)}.0.op.{leaf}"] = value
        else:
            attends = any(key.startswith(f"up_blocks.{i}.attentions") for key in state)
            out[f"output_blocks.{int(i) * (layers + 1) + layers}.{2 if attends else 1}.conv.{leaf}"] = value
    return out


def vae(module: nn.Module, levels: int = 2) -> State:
    """Of an AutoencoderKL: the names of latent diffusion, with attention as convolutions of one pixel."""
    out = {}
    for name, value in module.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", new)
        new = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", new)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        if "mid_block.attentions.0" in new:
            for ours, theirs in {
                "group_norm": "norm",
                "to_q": "q",
                "to_k": "k",
                "to_v": "v",
                "to_out.0": "proj_out",
            }.items():
                new = new.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
            value = value[:, :, None, None] if value.dim() == 2 else value
        out[new] = value
    return out


def clip(module: nn.Module) -> State:
    """The names that transformers 4 gave."""
    return {f"text_model.{n.removeprefix('text_model.')}": v for n, v in module.state_dict().items()}


def open_clip(module: nn.Module) -> State:
    """OpenCLIP's names, whose q, k and v are one matrix."""
    out: State = {"logit_scale": torch.ones(())}
    fused: dict[str, dict[str, Tensor]] = {}
    top = {"embeddings.position_embedding.weight": "positional_embedding",
           "embeddings.token_embedding.weight": "token_embedding.weight",
           "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"}  # fmt: skip
    for name, value in clip(module).items():
        short = name.removeprefix("text_model.")
        if short == "text_projection.weight":
            out["text_projection"] = value.T
        elif short in top:
            out[top[short]] = value
        else:
            short = short.replace("encoder.layers.", "transformer.resblocks.")
            if found := re.fullmatch(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)", short):
                fused.setdefault(f"{found[1]}.attn.in_proj_{found[3]}", {})[found[2]] = value
                continue
            for ours, theirs in CLIP.items():
                short = short.replace(ours, theirs)
            out[short] = value
    return out | {name: torch.cat([parts[key] for key in "qkv"]) for name, parts in fused.items()}


def sd3(module: nn.Module, layers: int = 2) -> State:
    """Of an SD3Transformer2DModel: q, k and v are one matrix, and the last layers have shift before scale."""
    out: State = {}
    fused: dict[str, dict[str, Tensor]] = {}
    for name, value in module.state_dict().items():
        stem, _, leaf = name.rpartition(".")
        if found := re.fullmatch(r"transformer_blocks\.(\d+)\.attn\.(?:to_([qkv])|add_([qkv])_proj)", stem):
            block = "context_block" if found[3] else "x_block"
            fused.setdefault(f"joint_blocks.{found[1]}.{block}.attn.qkv.{leaf}", {})[found[2] or found[3]] = value
            continue
        if stem in ("norm_out.linear", f"transformer_blocks.{layers - 1}.norm1_context.linear"):
            scale, shift = value.chunk(2)
            value = torch.cat([shift, scale])
        if found := re.fullmatch(r"transformer_blocks\.(\d+)\.(.*)", stem):
            out[f"joint_blocks.{found[1]}.{SD3_BLOCK[found[2]]}.{leaf}"] = value
        elif name in SD3:
            out[SD3[name]] = value
        else:
            out[f"{SD3.get(stem, 'final_layer.linear' if stem == 'proj_out' else stem)}.{leaf}"] = value
    return out | {name: torch.cat([parts[key] for key in "qkv"]) for name, parts in fused.items()}


def z_image(module: nn.Module) -> State:
    """Of a ZImageTransformer2DModel: q, k and v are one matrix."""
    out: State = {}
    fused: dict[str, dict[str, Tensor]] = {}
    for name, value in module.state_dict().items():
        if found := re.fullmatch(r"(.*\.attention)\.to_([qkv])\.weight", name):
            fused.setdefault(f"{found[1]}.qkv.weight", {})[found[2]] = value
            continue
        for ours, theirs in Z_IMAGE.items():
            name = name.replace(ours, theirs)
        out[name] = value
    return out | {name: torch.cat([parts[key] for key in "qkv"]) for name, parts in fused.items()}


def under(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {f"{prefix}{name}": value.contiguous() for name, value in state.items()}
