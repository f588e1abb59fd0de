"""What a bundle's stages take out of the loop, in words and as JSON."""

from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fewstep.errors import LoweringError

if TYPE_CHECKING:
    from fewstep.engine.bundle import Bundle
    from fewstep.export.staging.report import Saving

NEEDED = ("onnx", "onnx_ir")


def read_savings(bundle: "Bundle") -> "dict[str, Saving | str]":
    """By component that has stages: its saving, or why it is not known."""
    staged = [name for name, component in bundle.manifest.components.items() if component.stages]
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        return dict.fromkeys(staged, f"needs {', '.join(missing)}; pip install 'fewstep[export]'")
    return {name: _read(bundle, name) for name in staged}


def _read(bundle: "Bundle", name: str) -> "Saving | str":
    from fewstep.export.staging.report import bundle_saving

    try:
        return bundle_saving(bundle, name) or "it has no stages"
    except LoweringError as error:
        return str(error)


def saving_json(saving: "Saving | str | None") -> dict[str, Any] | str | None:
    return saving if saving is None or isinstance(saving, str) else asdict(saving)


def describe_saving(saving: "Saving | str") -> list[str]:
    """A line for each stage, and one of what a step no longer does."""
    if isinstance(saving, str):
        return [f"removed from the loop: not counted, {saving}"]
    stages = [
        f"{name:<10} {work.nodes} nodes, {work.weights / 1e6:.3g} MB of weights, {work.flop / 1e6:.4g} MFLOP"
        for name, work in saving.stages.items()
    ]
    return [*stages, describe_removed(saving)]


def describe_removed(saving: "Saving") -> str:
    whole, removed = saving.whole, saving.removed
    return (
        f"removed from the loop: {removed.nodes} of {whole.nodes} nodes, {removed.weights / 1e6:.3g} of "
        f"{whole.weights / 1e6:.3g} MB of weights, {removed.flop / 1e6:.3g} of {whole.flop / 1e6:.4g} MFLOP"
    )
