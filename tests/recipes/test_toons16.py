"""The recipe of the shipped model: exact data, training that resumes, and the sampler that the engine runs."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fewstep
from fewstep.export.families.trigflow_unet import PRESETS, TrigFlowUNet
from recipes.toons16 import adversarial, distill, fit, regress, teacher
from recipes.toons16.labels import BACKGROUNDS, COLORS, COUNTS, SUBJECTS
from recipes.toons16.package import TEACHER_STEPS, contract
from recipes.toons16.render import render, render_split
from recipes.toons16.trajectories import KEPT, solve, times
from recipes.toons16.trigflow import sample_consistency, sample_ode

SIDE = PRESETS["toons16-32"].image_size


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    render_split("train", 1, SIDE, run / "train.npz", workers=1)
    return run


def test_a_picture_is_a_function_of_its_split_class_and_index() -> None:
    (image, labels), (again, same) = render("test", 3, 5, 32), render("test", 3, 5, 32)
    other, _ = render("train", 3, 5, 32)
    assert image.shape == (32, 32, 3) and labels == same and (image == again).all() and (image != other).any()


@pytest.mark.parametrize("subject", range(len(SUBJECTS)), ids=list(SUBJECTS))
def test_both_colors_of_the_labels_are_in_the_picture(subject: int) -> None:
    """The background in its corner, the main colour somewhere: at 64 px and within the shades that styles add."""
    image, (_, background, color) = render("test", subject, 0, 64)
    pixels = image.reshape(-1, 3).astype(int)

    def nearest(name: str, among: np.ndarray) -> int:
        rgb = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
        return int(np.abs(among - rgb).max(1).min())

    if list(SUBJECTS)[subject] != "pixelbot":  # its background is dimmed and under a grid
        assert nearest(list(BACKGROUNDS.values())[background], pixels[:1]) <= 1
    assert nearest(list(COLORS.values())[color], pixels) <= 60


def test_no_label_outside_its_table(rendered: Path) -> None:
    with np.load(rendered / "train.npz") as split:
        assert split["images"].shape == (16, SIDE, SIDE, 3) and (split["labels"] < COUNTS).all()
        assert split["labels"][:, 0].tolist() == list(range(16))


STAGES = {  # what it makes: its module, the module of its loop, what it starts from
    "teacher": (teacher, fit, ()),
    "consistency": (distill, fit, ("teacher",)),
    "regressed": (regress, fit, ("consistency",)),
    "student": (adversarial, adversarial, ("regressed",)),
}


@pytest.mark.parametrize("kind", STAGES)
def test_an_interrupted_training_ends_with_the_same_weights(
    kind: str, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, loop, needs = STAGES[kind]
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
    weights = []
    for name, interrupted in (("whole", False), ("resumed", True)):
        run = tmp_path / name
        run.mkdir()
        (run / "train.npz").symlink_to(rendered / "train.npz")
        for needed in needs:
            torch.manual_seed(0)
            save_file(TrigFlowUNet().state_dict(), run / f"{needed}.safetensors")
        write_shard(run / "trajectories")
        arguments = ["--run", str(run), "--batch", "2", "--steps", "4"]
        if interrupted:
            interrupt_at(3, loop, monkeypatch)
            with pytest.raises(KeyboardInterrupt):
                module.main(arguments)
            monkeypatch.undo()
            monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)
        module.main(arguments)
        weights.append(load_file(run / f"{kind}.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def write_shard(folder: Path) -> None:
    """Two trajectories, made up."""
    folder.mkdir()
    g = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 3, SIDE, SIDE, generator=g).half()
    states = torch.randn(len(KEPT), 2, 3, SIDE, SIDE, generator=g).half()
    save_file({"states": states, "pictures": pictures, "labels": torch.ones(2, 3).long()}, folder / "0.safetensors")


def interrupt_at(step: int, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step number `step` meets Ctrl-C before it changes anything."""
    original = module.step_generator

    def generator(seed: int, at: int) -> torch.Generator:
        if at == step:
            raise KeyboardInterrupt
        return original(seed, at)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "step_generator", generator)


@pytest.fixture(scope="module")
def net() -> TrigFlowUNet:
    torch.manual_seed(0)
    net = TrigFlowUNet().eval()
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return net


def test_the_engine_s_table_is_the_recipe_s_consistency_sampling(net: TrigFlowUNet) -> None:
    times = [math.pi / 2, 1.1, 0.6]
    labels = torch.tensor([[1, 2, 3], [4, 5, 6]])
    z = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    expected = sample_consistency(net, z, labels, times, torch.Generator().manual_seed(2))

    drawn = torch.Generator().manual_seed(2)
    with torch.no_grad():
        x = fewstep.sample(
            fewstep.schedule("trigflow", 3, times=times),
            lambda u, tau: net(u, torch.full((2,), tau), labels),
            z,
            lambda i: torch.randn(z.shape, generator=drawn),
        )
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)


def test_the_engine_s_table_is_the_recipe_s_guided_ddim(net: TrigFlowUNet) -> None:
    labels = torch.tensor([[1, 2, 3]])
    z = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    expected = sample_ode(net, z, labels, np.linspace(math.pi / 2, 0, 5).tolist(), 1.5)

    def both(u: torch.Tensor, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.full((1,), tau)
        return net(u, t, net.null_labels[None]), net(u, t, labels)

    with torch.no_grad():
        table = fewstep.schedule("trigflow", 4, noise_fraction=0.0).guided(1.5)
        x = fewstep.sample(table, both, z, lambda i: z)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["student", "teacher"])
def test_the_contract_s_schedules_can_be_built(kind: str) -> None:
    schedule = contract("toons16", kind, SIDE, [])["schedule"]
    for steps, options in schedule["steps"].items():
        assert len(fewstep.schedule(schedule["name"], int(steps), **options)) == int(steps)
    assert kind == "student" or {int(n) for n in schedule["steps"]} == set(TEACHER_STEPS)


def test_trajectories_keep_the_states_of_the_sampling_times(net: TrigFlowUNet) -> None:
    labels = torch.tensor([[1, 2, 3]])
    z = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    states, picture = solve(net, z, labels, 1.5)
    assert states.shape == (len(KEPT), 1, 3, SIDE, SIDE) and torch.equal(states[0], z * 0.5)
    assert picture.isfinite().all() and not torch.equal(picture, states[-1][0])
    steps = contract("toons16", "student", SIDE, [])["schedule"]["steps"]
    assert steps["4"]["times"] == times()
