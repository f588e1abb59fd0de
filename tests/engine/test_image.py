import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fewstep.engine.image import check_scale, contact_sheet, enlarge, to_uint8
from fewstep.errors import BackendError, InputError

FLOATS = st.floats(-4, 4, width=32)


@given(arrays(np.float32, (2, 3, 2, 5), elements=FLOATS))
def test_a_level_is_the_nearest_one_to_the_clamped_value(x: np.ndarray) -> None:
    levels = to_uint8(x)
    assert levels.shape == (2, 2, 5, 3) and levels.dtype == np.uint8
    exact = (np.clip(x.astype(np.float64), -1, 1) + 1) * 127.5
    assert np.abs(levels - exact.transpose(0, 2, 3, 1)).max() <= 0.5 + 1e-5


def test_every_level_survives_a_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8)
    x = (levels / 127.5 - 1).astype(np.float32).reshape(1, 1, 16, 16)
    assert np.array_equal(to_uint8(x).reshape(-1), levels)


def test_other_ranges() -> None:
    x = np.array([0, 0.25, 1, 2], np.float32).reshape(1, 1, 2, 2)
    assert to_uint8(x, 0, 1).reshape(-1).tolist() == [0, 64, 255, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_colour(value: float) -> None:
    x = np.zeros((1, 3, 4, 4), np.float32)
    x[0, 1, 2, 3] = value
    with pytest.raises(BackendError, match="NaN or Inf"):
        to_uint8(x)


@given(st.integers(1, 4), st.integers(1, 5))
def test_enlarge_makes_squares(n: int, scale: int) -> None:
    images = np.random.default_rng(n).integers(0, 256, (n, 3, 4, 3), np.uint8)
    large = enlarge(images, scale)
    assert large.shape == (n, 3 * scale, 4 * scale, 3)
    for dy in range(scale):
        assert np.array_equal(large[:, dy::scale, scale - 1 :: scale], images)


@pytest.mark.parametrize("scale", [0, -1, 1.5, True, "2", 16384])
def test_a_scale_that_is_refused(scale: object) -> None:
    with pytest.raises(InputError, match="scale: expected an integer"):
        check_scale(1, 8, 8, scale)


def test_many_large_pictures_are_refused() -> None:
    check_scale(4, 8, 8, 1024)
    with pytest.raises(InputError, match="are more than 268435456 pixels"):
        check_scale(5, 8, 8, 1024)


@given(st.integers(1, 30))
def test_a_sheet_holds_each_picture_once_and_white(n: int) -> None:
    images = np.random.default_rng(n).integers(0, 255, (n, 2, 3, 3), np.uint8)
    sheet = contact_sheet(images)
    columns = sheet.shape[1] // 3
    assert (columns - 1) ** 2 < n <= columns**2
    for i in range(n):
        y, x = divmod(i, columns)
        assert np.array_equal(sheet[2 * y : 2 * y + 2, 3 * x : 3 * x + 3], images[i])
    assert (sheet == 255).sum() == sheet.size - images.size


def test_a_sheet_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="the limit is 16383"):
        contact_sheet(np.broadcast_to(np.uint8(0), (4, 9000, 2, 3)))
