"""Turns a finished run into checkpoints and the shipped bundles: python -m recipes.toons16.package

checkpoints/NAME gets fp16 weights, config.json, contract.json, the licence, the model card and, for the student, the
yardstick; `fewstep export` of each becomes src/fewstep/models/NAME.
"""

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fewstep.evaluation import FILE as EVALUATION
from fewstep.export.export import export_checkpoint
from fewstep.export.families.trigflow_unet import PRESETS
from fewstep.export.graph import export_graph
from recipes.toons16.labels import BACKGROUNDS, COLORS, SUBJECTS
from recipes.toons16.yardstick import Yardstick, load_yardstick

HERE = Path(__file__).parent
STUDENT_TIMES = {1: (16,), 2: (16, 12), 4: (16, 13, 11, 8)}  # in sixteenths of pi/2
TEACHER_STEPS = (20, 4, 2, 1)
GUIDANCE = 1.5
YARDSTICK, REFERENCE = "yardstick.onnx", "reference.safetensors"


class Readings(nn.Module):
    """The yardstick's features and logits as one tensor (B, D + L)."""

    def __init__(self, yardstick: Yardstick) -> None:
        super().__init__()
        self.yardstick = yardstick

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.yardstick(x), dim=1)


def schedule(kind: str) -> dict[str, Any]:
    if kind == "teacher":
        even = {str(n): {"noise_fraction": 0.0} for n in TEACHER_STEPS}
        return {"name": "trigflow", "default_steps": 20, "guidance": GUIDANCE, "steps": even}
    chosen = {str(n): {"times": [math.pi / 2 * k / 16 for k in ks]} for n, ks in STUDENT_TIMES.items()}
    return {"name": "trigflow", "default_steps": 2, "guidance": 1.0, "steps": chosen}


def contract(name: str, kind: str, size: int, include: list[str]) -> dict[str, Any]:
    what = {"student": "in 1, 2 or 4 steps", "teacher": "in 20 steps; the teacher, for comparison"}[kind]
    tables = (("class", SUBJECTS), ("background", BACKGROUNDS), ("color", COLORS))
    return {
        "name": name,
        "description": f"16 classes of small cartoon pictures by class, background and main colour, {what}",
        "license": {"spdx": "Apache-2.0", "file": "LICENSE"},
        "latent": {"scaling_factor": 1.0, "shift_factor": 0.0},
        "image": {"width": size, "height": size, "channels": 3, "range": [-1, 1]},
        "labels": [{"name": table, "values": list(values), "null": len(values)} for table, values in tables],
        "schedule": schedule(kind),
        "include": include,
    }


def write_checkpoint(folder: Path, run: Path, preset: str, kind: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = PRESETS[preset]
    weights = load_file(run / f"{kind}.safetensors")
    stored = save({key: value.half().contiguous() for key, value in weights.items()}, metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(stored)
    _write_json(folder / "config.json", {"_class_name": "TrigFlowUNet", **asdict(config)})
    include = ["README.md"]
    if kind == "student":
        x = torch.zeros(2, 3, config.image_size, config.image_size)
        model = export_graph(Readings(load_yardstick(run)), {"x": x}, "readings")
        (folder / YARDSTICK).write_bytes(model.SerializeToString(deterministic=True))
        (folder / REFERENCE).write_bytes((run / REFERENCE).read_bytes())
        teacher = f"{folder.name}-teacher"
        _write_json(folder / EVALUATION, {"yardstick": YARDSTICK, "reference": REFERENCE, "teacher": teacher})
        include += [YARDSTICK, REFERENCE, EVALUATION]
    _write_json(folder / "contract.json", contract(folder.name, kind, config.image_size, include))
    shutil.copy(HERE.parents[1] / "LICENSE", folder / "LICENSE")
    shutil.copy(HERE / f"card-{kind}.md", folder / "README.md")


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/toons16-32"))
    parser.add_argument("--preset", default="toons16-32")
    parser.add_argument("--name", default="toons16")
    parser.add_argument("--checkpoints", type=Path, default=HERE / "checkpoints")
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "src/fewstep/models")
    args = parser.parse_args(argv)
    for name, kind in ((args.name, "student"), (f"{args.name}-teacher", "teacher")):
        write_checkpoint(args.checkpoints / name, args.run, args.preset, kind)
        made = export_checkpoint(args.checkpoints / name, args.models / name, overwrite=True)
        print(f"{args.models / name}: largest error {made.relative_error:.1e} of the largest output")


if __name__ == "__main__":
    main()
