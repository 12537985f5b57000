"""Blur synthesis on the device: the images of the CPU, no waiting, and a resumed training."""

import deferred_blur
import pytest

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize('kind', deferred_blur.BLURS)
def test_the_blur_is_that_of_the_cpu(device, kind):
    deferred_blur.check_equal_blurs(kind, device, range(3))


def test_a_resumed_training_repeats_the_losses(device, make_runner, tmp_path):
    deferred_blur.check_resumed_losses(make_runner, tmp_path, device, deterministic=True)
