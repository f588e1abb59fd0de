"""A folder of diffusers from disk to pictures: every backend beside diffusers' own pipeline, and what is refused."""

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from whole_pipelines import TRAILING, diffusers, stable_diffusion

import fewstep
from fewstep.cli.main import main
from fewstep.compilation import compile_plan
from fewstep.engine.backends.native import NativeBackend
from fewstep.engine.bundle import Bundle
from fewstep.engine.job import Job
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import check_request, contract_schedule
from fewstep.engine.start import Start
from fewstep.engine.torch_noise import torch_stream
from fewstep.errors import ContractError, InputError
from fewstep.export.export import Export
from fewstep.export.from_checkpoint import Wanted, export_published

pytestmark = pytest.mark.filterwarnings("ignore")  # of diffusers and transformers
PROMPTS, SEEDS = ["a cat", "dog"], [5, 6]
CLOSE = 5e-6  # of the largest value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stable_diffusion(tmp_path_factory.mktemp("published") / "tiny-turbo")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    out = folder.with_name("bundle")
    export_published(folder, out, dtype="fp32", editing=True)
    return out


@pytest.fixture(scope="module")
def plan(bundle: Path) -> Path:
    path = bundle.with_name("plan.fsp")
    compile_plan(bundle, path)
    return path


@pytest.fixture(scope="module")
def pipelines(folder: Path, bundle: Path) -> dict[str, Pipeline]:
    return {"torch": fewstep.load(folder, device="cpu"), "onnxruntime": fewstep.load(bundle, device="cpu")}


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)

    def run(steps: int, output: str) -> Any:
        generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
        made = pipe(
            prompt=PROMPTS, num_inference_steps=steps, guidance_scale=0.0, height=32, width=32, generator=generators,
            output_type=output,
        )  # fmt: skip
        return made.images

    return run


def latents(pipe: Pipeline, steps: int, rng: str = "fewstep") -> Any:
    schedule = contract_schedule(pipe.manifest, steps)
    inputs, _ = pipe._inputs(check_request(pipe.manifest, PROMPTS, seed=SEEDS, steps=steps))
    backend: Any = pipe.backend
    noise = [torch_stream(seed, backend.state, schedule) for seed in SEEDS] if rng == "torch" else None
    return backend.latents(Job(SEEDS, inputs, schedule, Start(noise=noise)))


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_the_pictures_are_those_of_diffusers(
    pipelines: dict[str, Pipeline], reference: Any, name: str, steps: int
) -> None:
    expected = reference(steps, "latent").numpy()
    assert np.abs(latents(pipelines[name], steps, rng="torch") - expected).max() <= CLOSE * np.abs(expected).max()
    made = pipelines[name](PROMPTS, seed=SEEDS, steps=steps, rng="torch").images
    assert np.abs(made - 255 * reference(steps, "np")).max() <= 0.51


def test_the_plan_makes_the_same_from_the_prompt_on(plan: Path, pipelines: dict[str, Pipeline]) -> None:
    pipe = fewstep.load(plan)
    native: Any = pipe.backend
    assert isinstance(native, NativeBackend)
    inputs, _ = pipe._inputs(check_request(pipe.manifest, PROMPTS, seed=SEEDS))
    for steps in (1, 2, 3, 4):
        expected = latents(pipelines["onnxruntime"], steps)
        found, _ = native.generate(Job(SEEDS, inputs, contract_schedule(pipe.manifest, steps)))
        assert np.abs(found - expected).max() <= CLOSE * np.abs(expected).max()
        images = [one(PROMPTS, seed=SEEDS, steps=steps).images.astype(int) for one in (pipe, *pipelines.values())]
        assert max(np.abs(images[0] - other).max() for other in images[1:]) <= 1


def test_a_bundle_with_an_encoder_changes_pictures_as_its_checkpoint_does(pipelines: dict[str, Pipeline]) -> None:
    """tests/test_editing.py compares checkpoints with diffusers."""
    pictures = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for mask in (None, pictures[0, :, :, 0]):
        given: dict[str, Any] = {
            "image": pictures,
            "strength": 0.5,
            "mask": mask,
            "seed": SEEDS,
            "steps": 4,
            "rng": "torch",
        }
        one, other = (pipe(PROMPTS, **given).images.astype(int) for pipe in pipelines.values())
        assert np.abs(one - other).max() <= 1
    backend: Any = pipelines["onnxruntime"].backend
    without = copy.copy(backend)
    without._encoder = None
    with pytest.raises(ContractError, match="tiny-turbo has no encoder of pictures; export it anew with --editing"):
        without.encode(pictures.astype(np.float32))


def test_a_plan_begins_with_noise(plan: Path) -> None:
    with pytest.raises(
        ContractError, match="this plan begins with noise of seeds; compile it with --noise input or --edit"
    ):
        fewstep.load(plan)("a", image=np.zeros((32, 32, 3), np.uint8), strength=1.0)


def test_an_image_is_its_prompt_and_seed(pipelines: dict[str, Pipeline]) -> None:
    pipe = pipelines["onnxruntime"]
    both = pipe(PROMPTS, seed=SEEDS, steps=1)
    assert both.prompts == tuple(PROMPTS)
    for prompt, seed, image in zip(PROMPTS, SEEDS, both.images, strict=True):
        assert np.array_equal(pipe(prompt, seed=seed, steps=1).images[0], image)
    assert not np.array_equal(pipe("dog", seed=5, steps=1).images[0], both.images[0])


@pytest.mark.parametrize("size", [(16, 48), (32, 32)])
def test_other_sizes(folder: Path, size: tuple[int, int]) -> None:
    pipe = fewstep.load(folder, device="cpu", size=size)
    assert pipe("a", seed=1).images.shape == (1, *size, 3)


def test_what_was_not_distilled_for_is_refused_or_said(pipelines: dict[str, Pipeline]) -> None:
    for pipe in pipelines.values():
        with pytest.raises(ContractError, match=r"was distilled for 1, 2, 3, 4 steps, got 5"):
            pipe("a", steps=5)
        forced = pipe("a", steps=5, seed=1, force=True)
        assert forced.steps == 5 and "distilled for 1, 2, 3, 4 steps, got 5" in forced.forced[0]
        assert pipe("a", steps=1, seed=1, force=True).forced == ()
        with pytest.raises(ContractError, match=r"guidance: .* was distilled for 1 or 0, got 7.5"):
            pipe("a", guidance=7.5)
        assert pipe("a", guidance=0.0, seed=1).guidance is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "prompt: expected what is to be in the picture, got none"),
        (3, "prompt: expected a text, got 3"),
        ("x" * 2**20, "prompt: expected at most 32000 characters, got '1048576 characters'"),
        ("a\ud800", "prompt: expected text, got half a surrogate pair at character 1"),
        (["a", "b\udfff"], "prompt 1: expected text, got half a surrogate pair"),
        (["a", None], "prompt 1: expected a text, got None"),
        ([], "n: expected an integer from 1 to 1024, got 0"),
    ],
)
def test_prompts_that_are_none(pipelines: dict[str, Pipeline], prompt: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipelines["onnxruntime"](prompt)


def test_a_long_prompt_is_cut_and_it_is_said(pipelines: dict[str, Pipeline]) -> None:
    results = [pipe(["ca" * 40, "a"], seed=1, steps=1) for pipe in pipelines.values()]
    for result in results:
        assert result.cut == ("prompt 1 is longer than 16 tokens; what is beyond them was cut off",)
    assert np.abs(results[0].images.astype(int) - results[1].images).max() <= 1


def test_a_checkpoint_is_exported_to_be_compiled(
    folder: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def export(path: str, out: Path, wanted: Wanted, **options: Any) -> Any:
        asked.append((path, wanted, options["dtype"], out.parent.parent))
        return Export(Bundle.open(bundle), "fp32", 0.0, None)

    monkeypatch.setattr("fewstep.export.from_checkpoint.export_published", export)
    path = tmp_path / "turbo.fsp"
    assert main(["compile", str(folder), "-o", str(path), "--size", "48x16", "--steps", "2", "--dtype", "fp16"]) == 0
    assert asked == [(str(folder), Wanted(size=(16, 48)), "fp16", tmp_path)]
    assert sorted(tmp_path.iterdir()) == [path]
    assert fewstep.load(path)("a cat", seed=3, steps=2).images.shape == (1, 32, 32, 3)


def test_a_plan_makes_its_own_noise(plan: Path) -> None:
    with pytest.raises(ContractError, match="this plan begins with noise of seeds; compile it with --noise input"):
        fewstep.load(plan)("a", rng="torch")


def test_on_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cat.png"
    command = ["generate", "-m", str(folder), "-p", "a cat", "--seed", "5", "--steps", "7", "--force", "--json"]
    assert main([*command, "--device", "cpu", "-o", str(out)]) == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert report["backend"] == "torch" and report["prompts"] == ["a cat"] and len(report["forced"]) == 1
    assert "forced: steps: tiny-turbo was distilled for 1, 2, 3, 4 steps, got 7" in told.err
    assert out.stat().st_size > 0


def test_the_family_is_never_guessed(tmp_path: Path) -> None:
    other = stable_diffusion(tmp_path / "base", "PNDMScheduler", **TRAILING)
    with pytest.raises(InputError, match=r"its PNDMScheduler does not say what .* one of sd-turbo, "):
        fewstep.load(other)
    assert fewstep.load(other, family="sd-turbo", device="cpu").manifest.schedule.name == "euler"
    with pytest.raises(InputError, match="expected the networks of flux-schnell, got text_encoder CLIPTextModel"):
        fewstep.load(other, family="flux-schnell")
    with pytest.raises(InputError, match=r"family: expected one of .*sd-turbo"):
        fewstep.load(other, family="sd-turb")


def test_options_of_a_checkpoint_alone(folder: Path, bundle: Path, plan: Path) -> None:
    with pytest.raises(InputError, match="family: expected with a checkpoint alone"):
        fewstep.load(bundle, family="sd-turbo")
    with pytest.raises(InputError, match="backend: onnxruntime runs no checkpoint; run `fewstep export "):
        fewstep.load(folder, backend="onnxruntime")
    with pytest.raises(InputError, match="backend: torch runs checkpoints, got the bundle"):
        fewstep.load(bundle, backend="torch")
    with pytest.raises(InputError, match="backend: torch runs no plans"):
        fewstep.load(plan, backend="torch")
    with pytest.raises(InputError, match="height: expected a multiple of 2, got 17"):
        fewstep.load(folder, size=(17, 32))
    with pytest.raises(InputError, match=r"options: expected some of family, .* got .'colour'"):
        fewstep.load(folder, colour=1)


def test_a_lora_is_fused_and_told(folder: Path, tmp_path: Path) -> None:
    module = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    unet = fewstep.load(folder, device="cpu").backend.generation.denoiser.unet  # type: ignore[attr-defined]
    weight = unet.get_submodule(module).weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    file = tmp_path / "lora.safetensors"
    save_file({f"unet.{module}.lora_A.weight": down, f"unet.{module}.lora_B.weight": up}, file)
    fused = fewstep.load(folder, device="cpu", loras=[(file, 0.5)])
    found = fused.backend.generation.denoiser.unet.get_submodule(module).weight  # type: ignore[attr-defined]
    assert torch.allclose(found, weight + 0.5 * up @ down, atol=1e-6)
    assert fused.manifest.description == "sd-turbo, exported from a checkpoint, with lora.safetensors at 0.5"
    with pytest.raises(InputError, match="loras: expected a list of 2 values"):
        fewstep.load(folder, loras=[file])
