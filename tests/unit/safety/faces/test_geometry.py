"""Boxing, the way through the photo, SSIM, angle: the vectors of the published method."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from labwright.errors import WrongUse
from labwright.safety.faces.boxing import Box, Frame, boxed, masked, resized, through_photo
from labwright.safety.faces.likeness import angle, dissimilarity, gaussian, psnr, ssim


def test_a_square_is_longer_by_the_margin_and_holds_the_face_in_its_middle() -> None:
    frame = Frame.around(Box(0, 0, 48, 61))
    assert (frame.side, frame.rows, frame.columns) == (91, slice(15, 76), slice(21, 69))
    assert frame.window().sum() == 61 * 48
    assert frame.window()[0, 0, 15:76, 21:69].min() == 1


def test_a_boxed_face_is_filled_with_its_mean_colour() -> None:
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[50:110, 60:100] = (200, 100, 50)
    pixels[80:110, 60:100] = (100, 200, 150)
    face = boxed(pixels, Box(60, 50, 100, 110))
    assert face.image.shape == (3, 112, 112)
    assert face.image[:, 0, 0].tolist() == [150, 150, 100]
    assert face.image[:, 40, 56].tolist() == [200, 100, 50]
    assert face.image[:, 72, 56].tolist() == [100, 200, 150]


def test_rows_are_y_and_columns_are_x() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[10:60, 200:240] = 255
    assert boxed(pixels, Box(200, 10, 240, 60)).image.min() == 255


def test_a_box_over_the_edge_is_cut_and_a_small_one_refused() -> None:
    pixels = np.full((100, 100, 3), 7, np.uint8)
    assert boxed(pixels, Box(-20, -20, 50, 60)).frame.side == 60 + 30
    with pytest.raises(WrongUse, match="29 x 60 pixels is too small; 30"):
        boxed(pixels, Box(-20, 0, 29, 60))


def test_bilinear_resizing_has_half_pixel_centres_and_no_antialiasing() -> None:
    made = resized(torch.arange(9.0).view(1, 1, 3, 3), 5)[0, 0]
    assert made[0].tolist() == pytest.approx([0, 0.4, 1, 1.6, 2])
    assert made[1].tolist() == pytest.approx([1.2, 1.6, 2.2, 2.8, 3.2])
    assert made[4].tolist() == pytest.approx([6, 6.4, 7, 7.6, 8])


def test_the_window_keeps_a_change_to_the_face() -> None:
    up = resized(torch.full((1, 1, 4, 4), 8.0), 6)
    window = torch.zeros(6, 6)
    window[1:5, 2:4] = 1
    down = resized(up * window, 4)[0, 0]
    assert down[0].tolist() == down[3].tolist() == pytest.approx([0, 1.5, 1.5, 0])
    assert down[1].tolist() == down[2].tolist() == pytest.approx([0, 6, 6, 0])


def test_a_mask_never_touches_what_fills_the_square() -> None:
    image, frame = torch.full((1, 3, 112, 112), 100.0), Frame.around(Box(0, 0, 40, 82))
    seen = masked(image, torch.full((3, 112, 112), 16.0), frame)
    assert torch.equal(through_photo(image, frame), image)
    assert seen[0, 0, 56, 56] == 116
    assert seen[0, 0, 56, 2] == seen[0, 0, 2, 56] == 100


def test_the_angle_is_that_of_the_arc_cosine_and_has_a_slope_at_zero() -> None:
    u, v = torch.tensor([[3.0, 4, 0]]).double() / 5, torch.tensor([[4.0, 3, 0]]).double() / 5
    assert float(angle(u, v)) == pytest.approx(0.283794109208328, abs=1e-12)
    assert float(angle(u, -u)) == pytest.approx(math.pi, abs=1e-3)
    start = u.clone().requires_grad_(True)
    angle(start, u).sum().backward()
    assert torch.isfinite(start.grad).all()


def test_the_window_of_ssim() -> None:
    assert gaussian()[:6].tolist() == pytest.approx(
        [0.001028, 0.007599, 0.036001, 0.109361, 0.213006, 0.266012], abs=1e-6
    )
    assert gaussian().tolist() == pytest.approx(gaussian().flip(0).tolist())


@pytest.mark.parametrize(
    ("k", "value", "distance"), [(16, 0.6198852634, 0.1900573683), (4, 0.9630894892, 0.0184552554)]
)
def test_ssim_of_a_checkerboard(k: int, value: float, distance: float) -> None:
    i, j = np.mgrid[:16, :16]
    left = 20.0 + 8 * i + 4 * j
    right = (left + k * (-1.0) ** (i + j)).clip(0, 255)
    a, b = (torch.from_numpy(x)[None, None] for x in (left, right))
    assert float(ssim(a, b)) == pytest.approx(value, abs=1e-9)
    assert float(dissimilarity(a, b)) == pytest.approx(distance, abs=1e-9)
    assert float(ssim(a, a + 16)) == pytest.approx(0.9903681558, abs=1e-9)


def test_ssim_and_psnr_of_flat_pictures() -> None:
    dark, light = (torch.full((2, 3, 20, 20), v, dtype=torch.float64) for v in (100.0, 110.0))
    assert ssim(dark, light).tolist() == pytest.approx([0.9954764441] * 2)
    assert dissimilarity(dark, dark).tolist() == pytest.approx([0, 0])
    assert psnr(dark, dark + 16) == pytest.approx(24.048404, abs=1e-6)
    assert psnr(dark, dark) == math.inf
    with pytest.raises(ValueError, match="11 pixels"):
        ssim(dark[..., :10], light[..., :10])
