"""Networks of several families in stages: what each takes besides the state and the time is its prompt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from fewstep.engine.bundle_manifest import STAGES, STEP
from fewstep.export.families.build import randomise
from fewstep.export.graph import export_graph
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.comparison import staged_error
from fewstep.export.staging.report import measure_saving
from fewstep.export.staging.stage import stage

B = 2
ROUNDING = 5e-6  # of the largest output
STATE, TIME = "x", "t"
Call = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """sizes: of the state and of each prompt input, without B; () is a class of 5. call: (network, x, t, *prompt)."""

    kind: str
    config: dict[str, Any]
    sizes: dict[str, tuple[int, ...]]
    call: Call


def flux(network: nn.Module, x: Tensor, t: Tensor, text: Tensor, pooled: Tensor) -> Tensor:
    places, none = torch.cartesian_prod(torch.zeros(1), torch.arange(2.0), torch.arange(2.0)), torch.zeros(3, 3)
    made = network(
        x, encoder_hidden_states=text, pooled_projections=pooled, timestep=t, img_ids=places, txt_ids=none,
        return_dict=False,
    )  # fmt: skip
    out: Tensor = made[0]
    return out


def dit(network: nn.Module, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
    out: Tensor = network(x, timestep=t, class_labels=label, return_dict=False)[0]
    return out


CASES = {
    "dit": Case(
        "DiTTransformer2DModel",
        {
            "num_attention_heads": 2, "attention_head_dim": 4, "in_channels": 4, "out_channels": 4, "num_layers": 1,
            "sample_size": 4, "patch_size": 2, "num_embeds_ada_norm": 5, "norm_num_groups": 2,
        },
        {STATE: (4, 4, 4), "label": ()},
        dit,
    ),
    "flux": Case(
        "FluxTransformer2DModel",
        {
            "patch_size": 1, "in_channels": 8, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8,
            "num_attention_heads": 2, "joint_attention_dim": 8, "pooled_projection_dim": 8, "axes_dims_rope": (4, 2, 2),
        },
        {STATE: (4, 8), "text": (3, 8), "pooled": (8,)},
        flux,
    ),
}  # fmt: skip


class Called(nn.Module):
    def __init__(self, network: nn.Module, call: Call) -> None:
        super().__init__()
        self.network = network
        self.call = call

    def forward(self, x: Tensor, t: Tensor, first: Tensor, second: Tensor | None = None) -> Tensor:
        prompt = (first,) if second is None else (first, second)
        return self.call(self.network, x, t, *prompt)


@pytest.mark.parametrize("name", CASES)
def test_a_family_in_stages_is_the_family(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    network = getattr(diffusers, case.kind)(**case.config).eval()
    randomise(network, 0)
    inputs = {key: torch.randn(B, *size) if size else torch.randint(5, (B,)) for key, size in case.sizes.items()}
    given = {STATE: inputs.pop(STATE), TIME: torch.tensor([0.7, 0.2]), **inputs}
    whole = export_graph(Called(network, case.call), given, "m")
    bindings = {STATE: Binding.STATE, TIME: Binding.TIME, **dict.fromkeys(inputs, Binding.PROMPT)}
    model = ir.from_proto(whole)
    parts = stage(model, bindings)
    graphs = {key: ir.to_proto(part).SerializeToString() for key, part in parts.items()}
    values = {key: tensor.numpy() for key, tensor in given.items() if key != TIME}
    error = staged_error(whole.SerializeToString(), graphs, {}, values, TIME, np.array([0.9, 0.3, 0.1], np.float32))
    assert error <= ROUNDING
    saving = measure_saving(model, parts)
    assert list(parts) == [key for key in STAGES if key in parts] and len(parts) > 2
    assert sum(work.flop for work in saving.stages.values()) == saving.whole.flop
    assert saving.removed.flop > 0 and saving.removed.weights > 0
    assert not {str(v.name) for v in parts[STEP].graph.inputs} & {TIME, "pooled", "guidance", "label"}
