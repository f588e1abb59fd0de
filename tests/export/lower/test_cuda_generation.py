from pathlib import Path

import numpy as np
import pytest
from launched import launched
from run_program import Machine
from small_bundle import write_bundle

from fewstep.engine.bundle import Bundle
from fewstep.export.lower.generation import compile_bundle

pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")


def test_one_that_begins_anywhere_by_its_launches(tmp_path: Path, device: str) -> None:
    """Noise and what is kept move with the step; the mask's one channel is of all."""
    program, weights = compile_bundle(Bundle.open(write_bundle(tmp_path)), batch=2, edit=True)
    rng, labels = np.random.default_rng(4), np.array([[0, 1, 2], [2, 0, 3]])
    shapes = {"state": (2, 3, 8, 8), "noise": (4, 2, 3, 8, 8), "picture_mask": (2, 1, 8, 8), "picture": (4, 2, 3, 8, 8)}
    inputs = {name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()} | {"labels": labels}
    reference, machine = Machine(program, weights), launched(program, weights, 90)
    for steps, first in ((4, 0), (4, 2), (1, 0)):
        expected, found = reference.run(inputs, steps, first), machine.run(inputs, steps, first)
        assert np.allclose(found["latents"], expected["latents"], rtol=1e-4, atol=1e-4)
        assert not found["flag"].any()


def test_a_generation_by_its_launches_makes_the_pictures(tmp_path: Path, device: str) -> None:
    """Tables, modulation, rows and steps that addresses move with, noise and bytes: one arena, one order."""
    program, weights = compile_bundle(Bundle.open(write_bundle(tmp_path)), batch=2)
    inputs = {"seeds": np.array([7, -(2**63)]), "labels": np.array([[0, 1, 2], [2, 0, 3]])}
    reference, machine = Machine(program, weights), launched(program, weights, 90)
    for steps in (4, 1, 2):
        expected, found = reference.run(inputs, steps), machine.run(inputs, steps)
        assert np.abs(found["images"].astype(int) - expected["images"]).max() <= 1
        assert np.allclose(found["latents"], expected["latents"], rtol=1e-4, atol=1e-4)
        assert not found["flag"].any()
