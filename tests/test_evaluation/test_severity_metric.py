import cv2
import numpy as np
import pytest
from samples import evaluate, sample
from skimage import data

from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.registry import METRICS
from mmspd.utils.severity import measure_extent


@pytest.fixture(scope='module')
def photos():
    """A half restored, a sharp and a blurry photo of 300x200 pixels."""
    sharp = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
    blurry = cv2.blur(sharp, (7, 1))
    return cv2.addWeighted(blurry, 0.5, sharp, 0.5, 0), sharp, blurry


def measure(samples):
    metric = METRICS.build(dict(type='mmspd.BlurSeverity'))
    return evaluate(metric, samples), metric.per_image


def test_values_of_an_image(photos):
    _, sharp, blurry = photos
    item = sample(*photos, key='a', severity='mild')
    means, (image,) = measure([item])
    expected = measure_extent(blurry, sharp)
    assert means == {'blur-extent': expected}
    assert image['blur-extent'] == expected == pytest.approx(6, abs=1.5)
    assert image['PSNR-input'] == psnr(blurry, sharp)
    assert (image['key'], image['severity'], image['size']) == ('a', 'mild', [200, 300])


def test_the_patches_divide_an_image_evenly(photos):
    restored, sharp, blurry = (photo[:199, :299] for photo in photos)
    _, (image,) = measure([sample(restored, sharp, blurry)])
    cells = [np.s_[a:b, c:d] for a, b in ((0, 100), (100, 199)) for c, d in ((0, 150), (150, 299))]
    for name, photo in (('PSNR-input', blurry), ('PSNR', restored)):
        expected = [psnr(photo[cell], sharp[cell]) for cell in cells]
        assert image['_patches'][name] == pytest.approx(expected)
    _, (image,) = measure([sample(sharp, sharp, blurry)])
    assert image['_patches']['PSNR'] == [float('inf')] * 4


def test_images_of_unknown_extent_are_excluded_from_the_mean(photos):
    gray = np.full_like(photos[0], 90)
    unknown = sample(gray, gray, gray)
    means, images = measure([sample(*photos), unknown])
    assert [image['severity'] for image in images] == [None, None]
    assert images[1]['blur-extent'] is None
    assert means['blur-extent'] == images[0]['blur-extent']
    assert np.isnan(measure([unknown])[0]['blur-extent'])


def test_the_input_is_needed(photos):
    item = sample(*photos)
    del item['input']
    with pytest.raises(UserError, match="no image 'input'"):
        measure([item])
