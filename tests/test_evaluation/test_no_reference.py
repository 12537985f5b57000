import cv2
import numpy as np
import pytest
from samples import evaluate, mmengine_log, sample
from skimage import data
from skimage.measure import blur_effect

from mmspd.errors import UserError
from mmspd.evaluation import NIQE, BlurEffect
from mmspd.registry import METRICS, import_sibling


@pytest.fixture(scope='module')
def photos():
    """A real photo of 192x288 pixels, sharp and with increasing blur."""
    sharp = np.ascontiguousarray(data.astronaut()[:192, 100:388])
    return [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1, 2, 4))]


@pytest.mark.parametrize('metric', [BlurEffect, NIQE])
def test_more_blur_is_worse_and_no_sharp_image_is_needed(photos, metric):
    values = [metric().judge(photo) for photo in photos]
    assert values == sorted(values)
    assert values[-1] > 1.3 * values[0]
    name = metric.name
    means = evaluate(metric(report_input=True), [sample(photos[0], blur=photos[2], key='a')])
    assert means == {
        name: pytest.approx(values[0], abs=1e-3),
        f'{name}-input': pytest.approx(values[2], abs=1e-3),
    }
    assert list(evaluate(metric(), [sample(photos[0])])) == [name]


def test_the_values_equal_those_of_the_libraries(photos):
    assert BlurEffect().judge(photos[1]) == blur_effect(photos[1], channel_axis=2)
    # NIQE of natural photos without distortion is about 2 to 6
    assert 2 < NIQE().judge(photos[0]) < 6
    import_sibling('mmagic')
    theirs = METRICS.build(dict(type='mmagic.NIQE', convert_to='y', prefix='NIQE'))
    bgr = cv2.cvtColor(photos[1], cv2.COLOR_RGB2BGR)
    assert NIQE().judge(photos[1]) == pytest.approx(theirs.process_image(None, bgr, None))


@pytest.mark.parametrize('metric', [BlurEffect, NIQE])
def test_images_without_a_value_are_excluded_with_a_warning(photos, metric, caplog):
    flat = np.full_like(photos[0], 90)
    judge = metric()
    with mmengine_log(caplog):
        means = evaluate(judge, [sample(flat, key='flat'), sample(photos[0], key='photo')])
    assert judge.per_image[0] == {'key': 'flat', metric.name: None}
    assert means[metric.name] == judge.per_image[1][metric.name]
    assert f'{metric.name} cannot measure 1 of 2 images' in caplog.text
    assert np.isnan(evaluate(metric(), [sample(flat)])[metric.name])


def test_niqe_needs_two_blocks(photos):
    assert NIQE().judge(photos[0][:191, :191]) is None
    assert NIQE().judge(photos[0][:95, :192]) is None
    assert NIQE().judge(photos[0][:96, :192]) > 0


def test_a_missing_input_is_named(photos):
    with pytest.raises(UserError, match="The sample has no image 'input'"):
        BlurEffect(report_input=True).process(None, [sample(photos[0])])
