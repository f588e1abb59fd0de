"""Requests to change pictures: what is legal, what is refused before anything runs, and what comes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_bundle import SIDE, write_bundle

from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.bundle import Bundle
from fewstep.engine.edit import check_edit
from fewstep.engine.noise import stream
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.request import check_request
from fewstep.engine.schedule import schedule
from fewstep.engine.slerp import interpolated, slerp
from fewstep.engine.strength import first_row
from fewstep.errors import ContractError, InputError

RANDOM = np.random.default_rng(5)
PICTURE = RANDOM.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
LEFT = np.zeros((SIDE, SIDE), bool)
LEFT[:, : SIDE // 2] = True


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    bundle = Bundle.open(write_bundle(tmp_path_factory.mktemp("bundle") / "small"))
    return Pipeline(bundle.manifest, OnnxRuntimeBackend(bundle, threads=1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": 0.5}, "strength: expected with an image alone, got no image"),
        ({"mask": LEFT}, "mask: expected with an image alone, got no image"),
        ({"image": PICTURE}, "strength: expected how much of the image is made anew, above 0 to 1, got none"),
        *(
            ({"image": PICTURE, "strength": value}, "strength: expected a number above 0 and up to 1, got ")
            for value in (0, 0.0, -0.5, 1.01, float("nan"), float("inf"), True, "0.5", [0.5])
        ),
        ({"image": [PICTURE] * 2, "strength": 1, "n": 3}, "image: expected 3 images, one a picture, got 2"),
        ({"image": [], "strength": 1}, "n: expected an integer from 1 to 1024, got 0"),
        ({"image": 3, "strength": 1}, "image: expected the name of a file, a Pillow image or an array, got 3"),
        ({"image": "", "strength": 1}, "image: expected the name of a file, a Pillow image or an array, got ''"),
        ({"image": PICTURE[:-1], "strength": 1}, r"image: expected an array uint8 \(8, 8, 3\), got .*\(7, 8, 3\)"),
        ({"image": PICTURE / 255, "strength": 1}, "image: expected an array uint8 .* got 'float64"),
        ({"image": [PICTURE, PICTURE[:, :, 0]], "strength": 1}, r"image 1: expected an array uint8 .* got .*\(8, 8\)"),
        ({"image": Image.new("RGB", (9, 8)), "strength": 1}, "expected 8 x 8 pixels, as the model makes, got 9 x 8; r"),
        (
            {"image": Image.new("F", (8, 8)), "strength": 1},
            "image: expected a picture in RGB or grey of 8 bits, got",
        ),
        ({"image": PICTURE, "mask": LEFT[None]}, r"mask: expected an array of uint8 or bool \(8, 8\), got "),
        ({"image": PICTURE, "mask": LEFT * 1.0}, "mask: expected an array of uint8 or bool"),
        ({"image": PICTURE, "mask": Image.new("L", (4, 4))}, "mask: expected 8 x 8 pixels"),
        ({"mix": 0.5}, "mix: expected with seed_to alone"),
        ({"seed_to": 3}, "mix: expected how far to go from seed to seed_to, 0 to 1, got none"),
        ({"seed_to": -1, "mix": 0.5}, "seed: expected an integer from 0"),
        ({"seed_to": 3, "mix": 1.5}, "mix: expected a number from 0 to 1, got 1.5"),
        ({"seed_to": 3, "mix": float("nan")}, "mix: expected a number from 0 to 1, got nan"),
        ({"seed_to": 3, "mix": [0.5, 2]}, "mix 1: expected a number from 0 to 1, got 2"),
        ({"seed_to": 3, "mix": [0.5], "n": 2}, "mix: expected 2 numbers, one a picture, got 1"),
        ({"seed_to": [3], "mix": 0.5, "n": 2}, "seed: expected 2 seeds, one a picture, got 1"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_what_is_no_legal_edit(pipe: Pipeline, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_request(pipe.manifest, **given)


@pytest.mark.parametrize(
    ("name", "N", "rows"),
    [  # strength -> first row, by get_timesteps of StableDiffusionImg2ImgPipeline and FluxImg2ImgPipeline
        ("euler", 4, {1.0: 0, 0.99: 1, 0.75: 1, 0.74: 2, 0.5: 2, 0.25: 3}),
        ("lcm", 3, {1.0: 0, 0.99: 1, 0.34: 2}),
        ("flow-euler", 4, {1.0: 0, 0.99: 0, 0.75: 1, 0.74: 1, 0.5: 2, 0.3: 2, 0.25: 3, 0.01: 3}),
        ("sana-sprint", 2, {1.0: 0, 0.6: 0, 0.5: 1, 0.1: 1}),
    ],
)
def test_strength_is_the_row_that_diffusers_begins_with(name: str, N: int, rows: dict[float, int]) -> None:
    table = schedule(name, N)
    assert {strength: first_row(table, strength) for strength in rows} == rows


@pytest.mark.parametrize(("name", "strength"), [("euler", 0.24), ("trigflow", 1e-300), ("flow-euler", 1e-300)])
def test_a_strength_that_leaves_no_step_says_which_would(name: str, strength: float) -> None:
    with pytest.raises(ContractError, match=r"strength: .* of 4 steps leaves none to run; expected 0.25 or more"):
        first_row(schedule(name, 4), strength)


def test_no_step_of_one_of_several_counts_is_refused_before_anything_runs(pipe: Pipeline) -> None:
    with pytest.raises(ContractError, match=r"strength: 0.5 of 1 steps leaves none"):
        pipe(image=PICTURE, strength=0.5, steps=[2, 1])


def test_what_a_mask_keeps_is_the_picture(pipe: Pipeline) -> None:
    result = pipe(image=PICTURE, mask=LEFT, steps=2, seed=3, n=2)
    assert (result.images[:, ~LEFT] == PICTURE[~LEFT]).all() and (result.images[:, LEFT] != PICTURE[LEFT]).any()
    assert (result.strength, result.masked) == (1.0, True)
    anew = pipe(image=PICTURE, mask=np.ones_like(LEFT), steps=2, seed=3, n=2)
    assert np.array_equal(anew.images, pipe(steps=2, seed=3, n=2).images)


def test_what_a_mask_keeps_is_the_picture_in_any_scale_of_states(tmp_path: Path) -> None:
    contract = {"name": "trigflow", "default_steps": 2, "guidance": 1.0, "steps": {"2": {"out_scale": 0.5}}}
    latent = {"scaling_factor": 0.25, "shift_factor": 0.5}
    bundle = Bundle.open(write_bundle(tmp_path / "small", schedule=contract, latent=latent))
    scaled = Pipeline(bundle.manifest, OnnxRuntimeBackend(bundle, threads=1))
    found = scaled(image=PICTURE, mask=LEFT, seed=1).images[0]
    assert np.array_equal(found[~LEFT], PICTURE[~LEFT])


def test_an_image_alone_is_itself_among_others(pipe: Pipeline) -> None:
    pictures = [PICTURE, PICTURE[::-1], PICTURE[:, ::-1]]
    together = pipe(image=np.stack(pictures), strength=0.5, steps=[2, 4, 2], seed=7)
    for i, (picture, steps) in enumerate(zip(pictures, (2, 4, 2), strict=True)):
        alone = pipe(image=Image.fromarray(picture), strength=0.5, steps=steps, seed=7 + i)
        assert np.array_equal(alone.images[0], together.images[i])
    assert together.strength == 0.5 and not together.masked
    assert np.array_equal(pipe(image=pictures, strength=0.5, steps=[2, 4, 2], seed=7).images, together.images)


def test_one_picture_for_all_is_encoded_once(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    encode = OnnxRuntimeBackend.encode

    def counting(self: OnnxRuntimeBackend, pixels: Any) -> Any:
        counted.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(OnnxRuntimeBackend, "encode", counting)
    together = pipe(image=PICTURE, strength=0.5, steps=2, seed=7, n=3)
    apart = pipe(image=[PICTURE] * 3, strength=0.5, steps=2, seed=7)
    assert counted == [1, 3] and np.array_equal(together.images, apart.images)


def test_less_strength_changes_less(pipe: Pipeline) -> None:
    grey = np.full_like(PICTURE, 128)
    far = [
        np.abs(pipe(image=grey, strength=strength, steps=4, seed=2).images.astype(int) - grey).mean()
        for strength in (0.25, 0.5, 0.75)
    ]
    assert far == sorted(far) and far[0] < far[2]


def test_a_mask_is_taken_at_the_first_pixel_of_each_latent(pipe: Pipeline) -> None:
    """As torch's nearest interpolation, which diffusers scales masks down with."""
    mask = RANDOM.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    edit = check_edit(pipe.manifest.image, 1, PICTURE, None, Image.fromarray(mask))
    assert edit is not None
    kept = edit.kept(2, SIDE // 4, SIDE // 2)
    assert kept is not None and kept.shape == (2, 1, SIDE // 4, SIDE // 2) and kept.dtype == np.float32
    assert np.array_equal(kept[1, 0], mask[::4, ::2] >= 128)


def test_between_two_seeds(pipe: Pipeline) -> None:
    result = pipe(seed=[3] * 5, seed_to=[9] * 5, mix=[0, 0.25, 0.5, 0.75, 1], steps=1)
    ends = [pipe(seed=seed, label=result.labels[0], steps=1).images[0] for seed in (3, 9)]
    assert np.array_equal(result.images[0], ends[0]) and np.array_equal(result.images[4], ends[1])
    assert len({image.tobytes() for image in result.images}) == 5
    assert (result.seeds_to, result.mix) == ((9,) * 5, (0.0, 0.25, 0.5, 0.75, 1.0))
    alone = pipe(seed=3, seed_to=9, mix=0.25, steps=1, label=result.labels[0])
    assert np.array_equal(alone.images[0], result.images[1])


def test_later_noise_is_the_first_seed_s(pipe: Pipeline) -> None:
    noise, other = (stream(seed, (3, 2, 2)) for seed in (3, 9))
    between = interpolated(noise, other, 0.5)
    assert all(np.array_equal(between(step), noise(step)) for step in (1, 2))
    assert np.array_equal(between(0), slerp(noise(0), other(0), 0.5))


def test_an_arc_keeps_its_length() -> None:
    a, b = RANDOM.normal(size=(2, 3, 64, 64)).astype(np.float32)
    lengths = [np.linalg.norm(slerp(a, b, mix)) for mix in np.linspace(0, 1, 9)]
    assert np.allclose(lengths, np.linalg.norm(a), rtol=0.02)
    assert np.linalg.norm((a + b) / 2) < 0.75 * np.linalg.norm(a)
    assert np.allclose(slerp(a, b, 0.3), slerp(b, a, 0.7), atol=1e-6)
    assert np.allclose(slerp(a, a, 0.4), a, atol=1e-6)


def test_how_it_was_made_is_in_the_file(pipe: Pipeline, tmp_path: Path) -> None:
    pipe(image=PICTURE, mask=LEFT, seed=3, seed_to=9, mix=0.25).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        text = picture.info
    assert {key: text[key] for key in ("strength", "masked", "seed_to", "mix")} == {
        "strength": "1", "masked": "true", "seed_to": "9", "mix": "0.25",
    }  # fmt: skip
    again = pipe(image=tmp_path / "a.png", strength=0.5, seed=3)
    assert again.images.shape == (1, SIDE, SIDE, 3)
