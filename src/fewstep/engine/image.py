"""Pictures as arrays, uint8 (H, W, 3) in RGB: the network's output as bytes, enlarged pixels, contact sheets."""

import math

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.checks import whole
from fewstep.errors import BackendError, InputError

Images = NDArray[np.uint8]
MAX_SIDE = 16383  # WebP's limit, the lowest of the formats written
MAX_PIXELS = 2**28  # enlarged, of all pictures of one request


def to_uint8(x: NDArray[np.float32], low: float = -1.0, high: float = 1.0) -> Images:
    """Round float32 x (n, C, H, W), in which low is black and high is white, to uint8 (n, H, W, C).

    Values outside [low, high] are clamped. NaN and Inf have no colour: BackendError.
    """
    if not np.isfinite(x).all():
        raise BackendError(
            "the network made NaN or Inf, so there is no picture; its weights are damaged or it overflowed"
        )
    levels = np.subtract(x, np.float32(low), dtype=np.float32)
    levels *= np.float32(255 / (high - low))
    np.rint(levels, out=levels)
    np.clip(levels, 0, 255, out=levels)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1).astype(np.uint8))


def check_scale(n: int, H: int, W: int, scale: object) -> None:
    """Raise InputError unless n pictures of (H, W) may be enlarged `scale` times."""
    factor = whole("scale", scale, 1, max(1, MAX_SIDE // max(H, W)))
    if n * H * W * factor**2 > MAX_PIXELS:
        raise InputError(
            f"scale: {n} pictures of {W * factor} x {H * factor} are more than {MAX_PIXELS} pixels; lower it"
        )


def enlarge(images: Images, scale: int) -> Images:
    """Each pixel of (n, H, W, 3) as a square of scale x scale pixels."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def sheet_grid(n: int, H: int, W: int) -> tuple[int, int]:
    """The rows and columns of a sheet of n pictures of (H, W), or InputError if that is too large for a file."""
    columns = math.isqrt(n - 1) + 1
    rows = -(-n // columns)
    if max(rows * H, columns * W) > MAX_SIDE:
        raise InputError(
            f"a sheet of {n} pictures would be {columns * W} x {rows * H} pixels, the limit is {MAX_SIDE} a side; "
            "save fewer, smaller or numbered pictures"
        )
    return rows, columns


def contact_sheet(images: Images) -> Images:
    """One picture (H', W', 3) of n: rows of ceil(sqrt(n)), left to right, the rest of the last row white."""
    n, H, W, C = images.shape
    rows, columns = sheet_grid(n, H, W)
    cells = np.full((rows * columns, H, W, C), 255, np.uint8)
    cells[:n] = images
    return np.ascontiguousarray(
        cells.reshape(rows, columns, H, W, C).transpose(0, 2, 1, 3, 4).reshape(rows * H, columns * W, C)
    )
