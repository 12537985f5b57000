import numpy as np
import pytest
from photo_files import avif, png, saved_by_pillow, tiff, transparent, words

from mmspd.datasets.doctor.images import examine_image

ROW = [[[9, 8, 7]] * 3] * 2


@pytest.mark.parametrize(
    ('data', 'kind'),
    [
        (saved_by_pillow(ROW, 'PNG'), ''),
        (saved_by_pillow([[1, 2, 3]] * 2, 'PNG'), 'gray'),
        (png(3, 8, 2, *[range(9)] * 2, extra=transparent(0, 1, 2)), 'alpha'),
        (png(3, 16, 2, *[words(*range(9))] * 2), '16-bit'),
        (avif(ROW, 10), '16-bit'),
        (b'P6 3 2 1023\n' + words(*range(18)), '16-bit'),
        (tiff(ROW, np.uint16, photometric='rgb'), '16-bit'),
    ],
)
@pytest.mark.parametrize('quick', [True, False])
def test_the_kind_is_read_from_the_file(tmp_path, data, kind, quick):
    path = tmp_path / 'image'
    path.write_bytes(data)
    facts, _ = examine_image(path, quick)
    assert (facts.problem, facts.kind, facts.size) == ('', kind, (3, 2))


@pytest.mark.parametrize(
    ('data', 'problem'),
    [
        (b'P6 60000 60000 255\n', 'has more than 178 megapixels'),
        (
            tiff([[[1, 2, 3, 4]]], photometric='rgb', extrasamples=['unspecified']),
            'has extra channels that are not transparency',
        ),
    ],
)
def test_images_that_cannot_be_used(tmp_path, data, problem):
    path = tmp_path / 'image'
    path.write_bytes(data)
    facts, pixels = examine_image(path, quick=True)
    assert (facts.problem, facts.size, pixels) == (problem, None, None)
