"""Pictures that a request gives to be changed, and a mask of what of them is made anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import ImageSpec
from fewstep.engine.checks import real
from fewstep.engine.reading.picture import as_mask, as_rgb
from fewstep.errors import InputError

Picture = Any  # a path, a Pillow image, or an array uint8 (H, W, 3)
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Edit:
    """pictures: uint8 (n, H, W, 3), one an image, or (1, H, W, 3), one for all. mask: bool (H, W), true where they are
    made anew, or None.
    """

    pictures: NDArray[np.uint8]
    strength: float
    mask: NDArray[np.bool_] | None

    def pixels(self, image: ImageSpec, rows: Sequence[int]) -> Floats:
        """float32 (len(rows), 3, H, W) in the model's range, of the images `rows`; (1, ...) of one picture for all."""
        low, high = image.range
        pictures = self.pictures if len(self.pictures) == 1 else self.pictures[list(rows)]
        shares = pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        pixels: Floats = np.float32(high - low) * shares + np.float32(low)
        return pixels

    def kept(self, n: int, height: int, width: int) -> Floats | None:
        """The mask for n states, float32 (n, 1, h, w): of each latent's pixels the first one decides."""
        if self.mask is None:
            return None
        H, W = self.mask.shape
        rows, columns = np.arange(height) * H // height, np.arange(width) * W // width
        mask = self.mask[np.ix_(rows, columns)].astype(np.float32)
        return np.repeat(mask[None, None], n, axis=0)


def check_edit(spec: ImageSpec, n: int, image: object, strength: object, mask: object) -> Edit | None:
    """What image, strength and mask of a request ask of n pictures. Raises InputError saying what is legal."""
    if image is None:
        for name, value in (("strength", strength), ("mask", mask)):
            if value is not None:
                raise InputError(f"{name}: expected with an image alone, got no image")
        return None
    size = (spec.height, spec.width)
    changed = None if mask is None else as_mask("mask", mask, size)
    if strength is None and mask is None:
        raise InputError("strength: expected how much of the image is made anew, above 0 to 1, got none")
    share = 1.0 if strength is None else real("strength", strength, 0, 1, above=True)
    given = listed(image)
    if given is None:
        return Edit(as_rgb("image", image, size)[None], share, changed)
    if len(given) != n:
        raise InputError(f"image: expected {n} images, one a picture, got {len(given)}")
    return Edit(np.stack([as_rgb(f"image {i}", one, size) for i, one in enumerate(given)]), share, changed)


def listed(image: object) -> Sequence[Picture] | None:
    """The images of a list or of an array (n, H, W, 3), None of a single one."""
    if isinstance(image, list | tuple) or (isinstance(image, np.ndarray) and image.ndim == 4):
        return list(image)
    return None
