import cv2
import numpy as np
import pytest
from samples import evaluate, sample
from skimage import data

from mmspd.errors import UserError
from mmspd.evaluation.metrics import psnr
from mmspd.registry import METRICS
from mmspd.utils.severity import measure_severity


@pytest.fixture(scope='module')
def photos():
    """A half restored, a sharp and a blurry photo, 150x100."""
    sharp = cv2.resize(data.coffee(), (150, 100), interpolation=cv2.INTER_AREA)
    blurry = cv2.blur(sharp, (7, 1))
    return cv2.addWeighted(blurry, 0.5, sharp, 0.5, 0), sharp, blurry


def measure(samples, **options):
    metric = METRICS.build(dict(type='mmspd.BlurSeverity', **options))
    return evaluate(metric, samples), metric.per_image


def test_values_of_an_image(photos):
    _, sharp, blurry = photos
    item = sample(*photos, key='a', severity='mild')
    means, (image,) = measure([item])
    expected = measure_severity(blurry, sharp)
    assert means == {'blur-extent': expected.extent}
    assert image['blur-extent'] == expected.extent == pytest.approx(6, abs=1.5)
    assert image['PSNR-input'] == psnr(blurry, sharp)
    assert (image['key'], image['severity'], image['size']) == ('a', 'mild', [100, 150])


def test_the_parts_of_an_image_divide_it_evenly(photos):
    restored, sharp, blurry = (photo[:99, :149] for photo in photos)
    _, (image,) = measure([sample(restored, sharp, blurry)], patch_size=60)
    cells = [np.s_[a:b, c:d] for a, b in ((0, 50), (50, 99)) for c, d in ((0, 74), (74, 149))]
    for name, photo in (('PSNR-input', blurry), ('PSNR', restored)):
        expected = [psnr(photo[cell], sharp[cell]) for cell in cells]
        assert image['_patches'][name] == pytest.approx(expected)
    _, (image,) = measure([sample(sharp, sharp, blurry)], patch_size=60)
    assert image['_patches']['PSNR'] == [float('inf')] * 4


def test_images_of_unknown_extent_are_left_out_of_the_mean(photos):
    gray = np.full_like(photos[0], 90)
    unknown = sample(gray, gray, gray)
    means, images = measure([sample(*photos), unknown])
    assert [image['severity'] for image in images] == [None, None]
    assert images[1]['blur-extent'] is None
    assert means['blur-extent'] == images[0]['blur-extent']
    assert np.isnan(measure([unknown])[0]['blur-extent'])


def test_errors(photos):
    with pytest.raises(UserError, match='patch_size is at least 1 pixel, not 0'):
        METRICS.build(dict(type='mmspd.BlurSeverity', patch_size=0))
    item = sample(*photos)
    del item['input']
    with pytest.raises(UserError, match="no image 'input'"):
        measure([item])
