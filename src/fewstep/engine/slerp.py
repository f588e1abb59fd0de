"""Spherical interpolation of two seeds' first noises, which stays unit noise where a straight line would not."""

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.noise import Noise

PARALLEL = 0.9995  # the cosine from which on an arc is a line


def slerp(a: NDArray[np.float32], b: NDArray[np.float32], mix: float) -> NDArray[np.float32]:
    """sin((1 - mix) w) / sin w * a + sin(mix w) / sin w * b, w the angle between a and b as vectors (Shoemake 1985).

    mix: 0 is a and 1 is b, to the bit.
    """
    if mix in (0, 1):
        return b if mix else a
    cosine = float(np.vdot(a.astype(np.float64), b) / (np.linalg.norm(a) * np.linalg.norm(b)))
    of_a, of_b = 1 - mix, mix
    if abs(cosine) < PARALLEL:
        w = np.arccos(cosine)
        of_a, of_b = np.sin(of_a * w) / np.sin(w), np.sin(of_b * w) / np.sin(w)
    return np.float32(of_a) * a + np.float32(of_b) * b


def interpolated(noise: Noise, to: Noise, mix: float) -> Noise:
    """The noise of an image whose first state lies between two seeds'; what is drawn later is the first seed's."""
    return lambda step: slerp(noise(0), to(0), mix) if step == 0 else noise(step)
