import json
import math

import cv2
import numpy as np
import pytest

from mmspd.errors import UserError
from mmspd.evaluation import PSNR, SSIM, BlurSeverity, MetricInfo
from mmspd.evaluation.severity_report import group_by_severity, plot_severity, severity_table


def image(before, after, extent=None, **values):
    return {
        'key': 'a',
        'PSNR': after,
        'PSNR-input': before,
        'SSIM-2d': 0.9,
        'blur-extent': extent,
        'severity': None,
        'size': [100, 100],
        **values,
    }


def names_and_counts(groups):
    return [(group['name'], group['count']) for group in groups]


def test_groups_by_input_psnr_have_fixed_bounds():
    values = [19.9, 20, 22.9, 23, 26, 29, 31.9, 32, 45]
    groups = group_by_severity([image(value, value + 1.5) for value in values])['input PSNR']
    assert names_and_counts(groups) == [
        ('>= 32 dB', 2),
        ('29-32 dB', 2),
        ('26-29 dB', 1),
        ('23-26 dB', 1),
        ('20-23 dB', 2),
        ('< 20 dB', 1),
    ]
    assert groups[0]['PSNR'] == pytest.approx((33.5 + 46.5) / 2)
    assert groups[4]['PSNR-input'] == pytest.approx((20 + 22.9) / 2)
    assert all(group['PSNR-gain'] == pytest.approx(1.5) for group in groups)
    assert all(group['SSIM-2d'] == pytest.approx(0.9) for group in groups)


def test_groups_by_extent_depend_on_the_size_of_the_image():
    images = [image(25, 26, 1), image(25, 26, 2), image(25, 26, 4), image(25, 26, 90)]
    images += [image(25, 26, 4, size=[1000, 1000]), image(25, 26, None)]
    groups = group_by_severity(images)['blur extent']
    assert names_and_counts(groups) == [
        ('mild', 2),
        ('moderate', 1),
        ('severe', 2),
        ('unknown', 1),
    ]
    assert groups[2]['blur-extent'] == 47
    assert 'blur-extent' not in groups[3]


def test_records_are_grouped_if_there_are_any():
    assert 'record' not in group_by_severity([image(25, 26)])
    images = [image(25, 26, severity=name) for name in ('severe', None, 'mild', 'own', 'severe')]
    groups = group_by_severity(images)['record']
    assert names_and_counts(groups) == [('mild', 1), ('severe', 2), ('own', 1)]


def test_patches_are_grouped_separately():
    patches = {'PSNR': [24.0, 40.0, 30.0, math.inf], 'PSNR-input': [21.0, 36.0, 22.0, math.inf]}
    groups = group_by_severity([image(25, 26, _patches=patches), image(25, 26)])
    assert names_and_counts(groups['input PSNR']) == [('23-26 dB', 2)]
    assert groups['patches by input PSNR'] == [
        {
            'name': '>= 32 dB',
            'count': 2,
            'PSNR': 40,
            'PSNR-input': 36,
            'PSNR-gain': 4,
            'identical': 1,
        },
        {'name': '20-23 dB', 'count': 2, 'PSNR': 27, 'PSNR-input': 21.5, 'PSNR-gain': 5.5},
    ]


@pytest.mark.parametrize('infinite', [math.inf, None], ids=['measured', 'from a file'])
def test_infinite_values_are_counted_and_excluded_from_the_means(infinite):
    images = [image(24, 26), image(25, infinite), image(infinite, infinite)]
    groups = group_by_severity(images)['input PSNR']
    assert names_and_counts(groups) == [('>= 32 dB', 1), ('23-26 dB', 2)]
    assert groups[0] == {'name': '>= 32 dB', 'count': 1, 'SSIM-2d': 0.9, 'identical': 1}
    assert (groups[1]['PSNR'], groups[1]['PSNR-gain'], groups[1]['identical']) == (26, 2, 1)


def test_missing_values_are_not_grouped():
    assert group_by_severity([{'key': 'a', 'NIQE': 4.0}]) == {}
    groups = group_by_severity([{'key': 'a', 'LPIPS': 0.1, 'PSNR-input': 25.0}])
    assert groups == {
        'input PSNR': [{'name': '23-26 dB', 'count': 1, 'LPIPS': 0.1, 'PSNR-input': 25.0}]
    }


def test_groups_are_json_and_the_images_do_not_change():
    images = [image(25, 26, 3, _patches={'PSNR': [26.0], 'PSNR-input': [25.0]})]
    before = json.dumps(images)
    groups = group_by_severity(images)
    assert json.loads(json.dumps(groups, allow_nan=False)) == groups
    assert json.dumps(images) == before


def test_table():
    images = [image(24, 26.128), image(31, math.inf, LPIPS=0.25)]
    groups = group_by_severity([dict(image, severity='mild') for image in images])
    info = {**PSNR.info, **SSIM().info, 'LPIPS': MetricInfo(False, digits=3)}
    assert severity_table({'input PSNR': groups['input PSNR']}, info).splitlines() == [
        '| input PSNR | count | PSNR-input | SSIM-2d | LPIPS |  PSNR | PSNR-gain | identical |',
        '| :--------- | ----: | ---------: | ------: | ----: | ----: | --------: | --------: |',
        '| 29-32 dB   |     1 |      31.00 |  0.9000 | 0.250 |     - |         - |         1 |',
        '| 23-26 dB   |     1 |      24.00 |  0.9000 |     - | 26.13 |      2.13 |         - |',
    ]
    assert (
        severity_table(groups, {**info, **BlurSeverity.info})
        .split('\n\n')[2]
        .startswith('| record | count ')
    )


@pytest.mark.slow
def test_plot_shows_every_result(tmp_path):
    plain = group_by_severity([image(25, 26, 3), image(21, 22, 9)])
    guided = group_by_severity([image(25, 28, 3), image(21, 20, 9)])
    plot_severity({'plain': plain}, tmp_path / 'one.png')
    plot_severity({'plain': plain, 'guided': guided}, tmp_path / 'deep' / 'two.png')
    one, two = (cv2.imread(str(tmp_path / name)) for name in ('one.png', 'deep/two.png'))
    assert one.shape == two.shape

    def area(picture, color):
        return np.all(picture == color[::-1], axis=2).sum()

    blue, orange = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)
    assert area(one, blue) > 20000
    assert area(one, orange) == 0
    assert area(two, orange) > area(two, blue) > 2000


def test_results_need_not_have_the_same_groups(tmp_path):
    groups = group_by_severity([image(25, 26, 3, severity='mild')])
    other = group_by_severity([image(32, 33)])
    plot_severity({'a': groups, 'b': other, 'c': groups}, tmp_path / 'three.png')
    assert cv2.imread(str(tmp_path / 'three.png')) is not None
    with pytest.raises(UserError, match="No severity group has the metric 'LPIPS'"):
        plot_severity({'a': groups}, tmp_path / 'none.png', metric='LPIPS')
    assert not (tmp_path / 'none.png').exists()
