"""A plan whose LoRAs are replaced while it is loaded, beside plans whose weights have them fused."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import whole_families
from lora_files import Factor, draw_factors, kohya, saved
from numpy.typing import NDArray
from torch import nn
from whole_families import whole

import fewstep
from fewstep.compilation import compile_plan
from fewstep.engine.bundle_manifest import DENOISER
from fewstep.engine.job import Job
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import contract_schedule
from fewstep.errors import InputError
from fewstep.export.families.catalogue import FAMILIES
from fewstep.export.from_checkpoint import Wanted, export_published
from fewstep.export.lora.fuse import fuse
from fewstep.export.lora.read_lora import read_lora
from fewstep.export.lora.skeleton import networks_of
from fewstep.export.lower import generation
from fewstep.export.lower.adapters import modules_of
from fewstep.export.lower.component import open_component
from fewstep.export.tidy import TRANSPOSED

NAMES = ("sd-turbo", pytest.param("sdxl-turbo", marks=pytest.mark.slow), "flux-schnell")
SEEDS, PROMPTS = (3, 4), ("a cat", "Dog")
CLOSE = 5e-6  # of the largest latent
RANK = 8  # of the plan: two of the files'
Latents = NDArray[np.float32]
# T5's positions have a logarithm of 0, which its own Where drops.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")


@dataclass(frozen=True)
class Model:
    """Of one family: its bundle, a network of the denoiser's names, and a plan with everything open."""

    bundle: Path
    role: str
    network: nn.Module
    plan: Path

    def lora(self, path: Path, seed: int, names: list[str] | None = None, rank: int = 4) -> Path:
        """A file of every module, or of those named, small enough that pictures stay pictures."""
        torch.manual_seed(seed)
        factors = draw_factors(self.network, names, seed)
        small = {n: Factor(0.1 * f.down[:rank], 0.1 * f.up[:, :rank], f.alpha) for n, f in factors.items()}
        return saved(path, kohya(small))


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    name: str = request.param
    folder = tmp_path_factory.mktemp(name)
    checkpoint = whole_families.write(name, folder / "checkpoint")
    wanted = Wanted(family=name, size=whole(name).image)
    bundle = export_published(checkpoint, folder / "bundle", wanted, dtype="fp32").bundle
    plan = folder / "open.fsp"
    compile_plan(folder / "bundle", plan, lora_rank=RANK)
    modules = modules_of(open_component(bundle, DENOISER).graph)
    ((role, network),) = networks_of(modules).items()
    layers = {n for n, m in whole_families.networks(FAMILIES[name])[role].make().named_modules() if _is_layer(m)}
    assert {f"{role}.{layer}" for layer in layers} == modules.keys()  # none of them was lost on the way
    return Model(folder / "bundle", role, network, plan)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def latents(pipe: Pipeline) -> Latents:
    backend: Any = pipe.backend
    inputs = {} if pipe.texts is None else pipe.texts.encode(PROMPTS)[0]
    found: Latents = backend.generate(Job(SEEDS, inputs, contract_schedule(pipe.manifest, 1)))[0]
    return found


def error(found: Latents, expected: Latents) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def fused(model: Model, loras: list[tuple[Path, float]], path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A plan of the bundle whose weights have the LoRAs in them, by export.lora.fuse."""

    def opened(bundle: Any, name: str, stage: str | None = None) -> ir.Model:
        component = open_component(bundle, name, stage)
        if name == DENOISER:
            _fuse(component.graph, model.role, loras)
        return component

    with monkeypatch.context() as patch:
        patch.setattr(generation, "open_component", opened)
        compile_plan(model.bundle, path)
    return fewstep.load(path)


def _fuse(graph: ir.Graph, role: str, loras: list[tuple[Path, float]]) -> None:
    network = networks_of(modules_of(graph))[role].to_empty(device="cpu")
    for name, value in _weights(graph, role, network):
        assert value.const_value is not None
        array = torch.from_numpy(np.array(value.const_value.numpy()))
        network.get_submodule(name).weight.data = array.T if str(value.name).endswith(TRANSPOSED) else array
    fuse({role: network}, [(read_lora(file, {role: network}), strength) for file, strength in loras])
    for name, value in _weights(graph, role, network):
        weight: Any = network.get_submodule(name).weight.data
        array = weight.T if str(value.name).endswith(TRANSPOSED) else weight
        value.const_value = ir.tensor(np.ascontiguousarray(array.numpy()), name=value.name)


def _weights(graph: ir.Graph, role: str, network: nn.Module) -> Iterator[tuple[str, ir.Value]]:
    known = dict(network.named_modules())
    for value in graph.initializers.values():
        name = str(value.name).removesuffix(TRANSPOSED)
        if name.endswith(".weight") and isinstance(
            known.get(name.removeprefix(f"{role}.").removesuffix(".weight")), nn.Linear | nn.Conv2d
        ):
            yield name.removeprefix(f"{role}.").removesuffix(".weight"), value


def test_swapped_loras_make_what_fused_ones_do(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = fewstep.load(model.plan)
    first = latents(pipe)
    assert error(first, latents(fused(model, [], tmp_path / "plain.fsp", monkeypatch))) <= CLOSE
    some = sorted(name for name, module in model.network.named_modules() if _is_layer(module))[::3]
    one, two = model.lora(tmp_path / "one.safetensors", 1), model.lora(tmp_path / "two.safetensors", 2, some, rank=2)
    pipe.set_loras([(str(two), 1.0)])
    other = latents(pipe)
    pipe.set_loras([(str(one), 0.8), (str(two), -0.5)])
    expected = latents(fused(model, [(one, 0.8), (two, -0.5)], tmp_path / "fused.fsp", monkeypatch))
    assert error(latents(pipe), expected) <= CLOSE
    assert min(error(x, expected) for x in (first, other)) > 100 * CLOSE
    pipe.set_loras([(str(two), 1.0)])
    assert latents(pipe).tobytes() == other.tobytes()
    pipe.set_loras([])
    assert latents(pipe).tobytes() == first.tobytes()


Files = Mapping[str, Path]


@pytest.fixture
def files(model: Model, tmp_path: Path) -> Files:
    return {name: model.lora(tmp_path / f"{name}.safetensors", seed) for seed, name in enumerate(("a", "b", "c"))}


def test_what_does_not_fit_is_refused_and_nothing_changed(model: Model, files: Files, tmp_path: Path) -> None:
    pipe = fewstep.load(model.plan)
    pipe.set_loras([(str(files["a"]), 1.0)])
    before = latents(pipe)
    name = next(name for name, module in model.network.named_modules() if isinstance(module, nn.Linear))
    factors = draw_factors(model.network, [name])
    text = saved(tmp_path / "text.safetensors", kohya(factors) | kohya(factors, "lora_te_"))
    large = {name: replace(factors[name], up=factors[name].up.sign() * 1e38)}
    (outputs, _), (_, inputs) = factors[name].up.shape, factors[name].down.shape
    wide = {name: Factor(torch.ones(RANK + 1, inputs), torch.ones(outputs, RANK + 1))}
    (tmp_path / "no.safetensors").write_bytes(b"no")
    cases: list[tuple[list[Any], str]] = [
        ([(files[key], 1.0) for key in "abc"], f"expected ranks of at most {RANK} together, got 12; .*--lora-rank 12"),
        ([(saved(tmp_path / "wide.safetensors", kohya(wide)), 1.0)], f"{name}: expected ranks of at most {RANK}"),
        ([(text, 1.0)], "text.safetensors: 1 of 2 updates are of modules that the model has not: lora_te_"),
        ([(saved(tmp_path / "large.safetensors", kohya(large)), 100.0)], "expected numbers of at most"),
        ([(files["b"], float("nan"))], "strength: expected a"),
        ([files["b"]], "loras: expected"),
        ([(tmp_path / "no.safetensors", 1.0)], "no.safetensors"),
        ([(tmp_path / "absent.safetensors", 1.0)], "absent.safetensors"),
    ]  # fmt: skip
    for loras, message in cases:
        with pytest.raises(InputError, match=message):
            pipe.set_loras([(files["b"], 1.0), *loras][-len(loras) :])
        assert latents(pipe).tobytes() == before.tobytes()


def test_pictures_are_of_one_set_of_loras(model: Model, files: Files) -> None:
    """While others are set from another thread."""
    pipe = fewstep.load(model.plan)
    expected = set()
    for file in files.values():
        pipe.set_loras([(str(file), 1.0)])
        expected.add(latents(pipe)[:1].tobytes())
    assert len(expected) == 3
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for file in files.values():
                pipe.set_loras([(str(file), 1.0)])

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {latents(pipe)[:1].tobytes() for _ in range(20)}
    finally:
        stop.set()
        swapper.join()
    assert seen <= expected
