import cv2
import numpy as np
import pytest
from blurred_pairs import blurred, texture

from mmspd.datasets.doctor.measures import EXPONENTS, measure_pair


@pytest.mark.parametrize('shift', [(5, 0), (0, -4), (3, 2)])
def test_a_known_shift_is_measured(shift):
    big = cv2.resize(texture(0), (400, 400), interpolation=cv2.INTER_CUBIC)
    x, y = shift
    crop = np.s_[20 : 20 + 320, 20 : 20 + 320]
    moved = np.roll(big, (y, x), (0, 1))
    measures = measure_pair(blurred(moved)[crop].copy(), big[crop].copy()).details
    np.testing.assert_allclose(measures.shift, shift, atol=0.2)
    assert measures.sharpness < 1
    # exchanged images give the opposite shift
    back = measure_pair(big[crop].copy(), blurred(moved)[crop].copy()).details
    np.testing.assert_allclose(back.shift, (-x, -y), atol=0.2)
    assert back.sharpness == pytest.approx(1 / measures.sharpness)
    # the shift is in pixels of the image, at any size
    large = [cv2.resize(image[crop], (960, 960)) for image in (blurred(moved), big)]
    np.testing.assert_allclose(measure_pair(*large).details.shift, (3 * x, 3 * y), atol=0.6)


def test_brightness_is_compared_at_every_exponent():
    sharp = texture(0)
    blurry = blurred(sharp)
    measures = measure_pair(blurry, sharp).brightening
    for exponent, value in zip(EXPONENTS[::6], measures[::6]):
        expected = ((blurry / 255) ** exponent - (sharp / 255) ** exponent).mean()
        assert value == pytest.approx(expected, abs=1e-12)
