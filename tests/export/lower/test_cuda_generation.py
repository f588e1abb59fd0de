from pathlib import Path

import numpy as np
import pytest
from launched import launched
from run_program import Machine
from small_bundle import write_bundle

from fewstep.engine.bundle import Bundle
from fewstep.export.lower.generation import compile_bundle

pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")


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
