"""LoRA files of random factors, in every style, and the dense update that they stand for."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny_networks import CONFIGS
from torch import Tensor, nn

RANK, ALPHA = 4, 2.0  # half of it, which every dtype holds
State = dict[str, Tensor]
Factors = Mapping[str, "Factor"]

# Diffusers' blocks of the tiny UNets as LDM's code names them: resnets, attentions and samplers, counted by hand.
LDM_TOP = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
LDM_SD = LDM_TOP | {
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0": "input_blocks.2.0",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.upsamplers.0": "output_blocks.1.1",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
}
LDM_SDXL = LDM_TOP | {
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0": "input_blocks.2.0",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0": "output_blocks.1.2",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
}
LDM_LAYERS = {
    "resnets.0.conv1": "in_layers.2",
    "resnets.0.conv2": "out_layers.3",
    "resnets.0.time_emb_proj": "emb_layers.1",
    "resnets.0.conv_shortcut": "skip_connection",
    "downsamplers.0.conv": "op",
}


@dataclass(frozen=True)
class Factor:
    """alpha: None for a file that says none."""

    down: Tensor
    up: Tensor
    alpha: float | None = ALPHA

    def delta(self) -> Tensor:
        """The dense update in float64, by a formula of its own."""
        rank = self.down.shape[0]
        scale = 1.0 if self.alpha is None else self.alpha / rank
        return scale * torch.einsum("or,r...->o...", self.up.double().flatten(1), self.down.double())

    def without_alpha(self) -> "Factor":
        """The same update, with alpha / rank in `up`."""
        scale = 1.0 if self.alpha is None else self.alpha / self.down.shape[0]
        return replace(self, up=self.up * scale, alpha=None)


def tiny_unet(name: str, **changes: Any) -> nn.Module:
    """Of tests/data/tiny_configs.json, with random weights."""
    import diffusers

    torch.manual_seed(1)
    network: nn.Module = getattr(diffusers, CONFIGS[name]["class"])(**{**CONFIGS[name]["config"], **changes})
    return network.eval().requires_grad_(False)


def layers(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def weight_of(network: nn.Module, name: str) -> Tensor:
    return network.get_parameter(f"{name}.weight")


def draw_factors(network: nn.Module, names: Iterable[str] | None = None, seed: int = 0) -> dict[str, Factor]:
    """Of every layer, or of those named. A k x k convolution's down is k x k too."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name in layers(network) if names is None else names:
        outputs, *inputs = weight_of(network, name).shape
        down = torch.randn(RANK, *inputs, generator=generator) / 2
        up = torch.randn(outputs, RANK, *(1 for _ in inputs[1:]), generator=generator) / 2
        out[name] = Factor(down, up)
    return out


def flat(name: str) -> str:
    return name.replace(".", "_")


def entries(stem: str, factor: Factor, down: str, up: str, alpha: str = ".alpha") -> State:
    out = {f"{stem}{down}.weight": factor.down, f"{stem}{up}.weight": factor.up}
    return out if factor.alpha is None else {**out, f"{stem}{alpha}": torch.tensor(factor.alpha)}


def kohya(factors: Factors, prefix: str = "lora_unet_") -> State:
    return gathered(entries(f"{prefix}{flat(n)}", f, ".lora_down", ".lora_up") for n, f in factors.items())


def kohya_ldm(factors: Factors, blocks: Mapping[str, str]) -> State:
    return kohya({ldm_name(name, blocks): factor for name, factor in factors.items()})


def ldm_name(name: str, blocks: Mapping[str, str]) -> str:
    block = next(block for block in sorted(blocks, key=len, reverse=True) if f"{name}.".startswith(f"{block}."))
    inner = name.removeprefix(block)
    kind = f"{block.split('.')[-2]}.0" if "." in block else ""
    return blocks[block] + (f".{LDM_LAYERS.get(kind + inner, inner[1:])}" if inner else "")


def peft(factors: Factors, prefix: str = "unet.") -> State:
    return gathered(entries(prefix + n, f.without_alpha(), ".lora_A", ".lora_B") for n, f in factors.items())


def bare(factors: Factors, prefix: str = "") -> State:
    return gathered(entries(prefix + n, f, ".lora_down", ".lora_up") for n, f in factors.items())


def old_diffusers(factors: Factors) -> State:
    out: State = {}
    for name, factor in factors.items():
        parent, _, layer = name.removesuffix(".0").rpartition(".")
        if ".attn" in name and layer.startswith("to_"):
            out |= entries(f"unet.{parent}.processor.{layer}_lora", factor, ".down", ".up")
        else:
            out |= entries(f"unet.{name}.lora", factor.without_alpha(), ".down", ".up")
    return out


def gathered(states: Iterable[State]) -> State:
    return {key: values for state in states for key, values in state.items()}


def saved(path: Path, state: State, metadata: dict[str, Any] | None = None) -> Path:
    """metadata: the configuration of an adapter of PEFT."""
    text = {} if metadata is None else {"lora_adapter_metadata": json.dumps(metadata)}
    save_file({key: values.contiguous().clone() for key, values in state.items()}, path, {"format": "pt", **text})
    return path


TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64"}


def written(path: Path, state: State, order: Iterable[str] | None = None, pad: int = 0) -> Path:
    """A safetensors file whose header and data have the order given, after `pad` spaces; the official writer sorts."""
    header, data = {}, b""
    for key in state if order is None else order:
        content = state[key].contiguous().flatten().view(torch.uint8).numpy().tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[key] = {"dtype": TYPES[state[key].dtype], "shape": list(state[key].shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode() + b" " * pad
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def weights(network: nn.Module) -> State:
    return {name: values.clone() for name, values in network.state_dict().items()}


def assert_fused(network: nn.Module, before: State, factors: Factors, strength: float = 1.0) -> None:
    """Every weight with a factor has its update, and no other has changed."""
    for name, values in network.state_dict().items():
        module, _, kind = name.rpartition(".")
        if kind == "weight" and module in factors:
            expected = before[name].double() + strength * factors[module].delta()
            torch.testing.assert_close(values.double(), expected, rtol=1e-6, atol=1e-6)
            assert (values - before[name]).abs().max() > 1e-3, f"{name} is as it was"
        else:
            assert torch.equal(values, before[name]), name
