import csv
import json

import pytest

from mmspd.errors import UserError
from mmspd.evaluation import PSNR, Result

IMAGES = [
    {'key': 'a', 'PSNR': 30.5, 'severity': 'mild'},
    {'key': 'b', 'PSNR': float('inf'), 'SSIM-2d': 1.0},
]


def test_a_saved_result_is_loaded_unchanged(tmp_path):
    written = Result(
        {'protocol': 'gopro'}, {'PSNR': 30.5}, PSNR.info, IMAGES[:1], {'extent': [{'count': 1}]}
    )
    written.save(tmp_path / 'deep' / 'folder')
    assert Result.load(tmp_path / 'deep' / 'folder') == written
    assert Result.load(tmp_path / 'deep' / 'folder' / 'result.json') == written


def test_the_files_are_standard_json_and_csv(tmp_path):
    Result({}, {}, {}, IMAGES).save(tmp_path)

    def refuse(name):
        raise AssertionError(f'{name} is not valid JSON')

    images = json.loads((tmp_path / 'result.json').read_text(), parse_constant=refuse)['images']
    assert images[1]['PSNR'] is None
    rows = list(csv.DictReader((tmp_path / 'per_image.csv').open()))
    assert rows[0] == {'key': 'a', 'PSNR': '30.5', 'severity': 'mild', 'SSIM-2d': ''}
    assert rows[1]['PSNR'] == 'inf'


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'No such file'),
        ('{', 'is not a JSON file'),
        ('[]', 'is not a result'),
        ('{"schema": 1}', 'run mmspd test again'),
        ('[' * 10**5, 'is not a JSON file'),
        ('{"schema": 2, "metric_info": {"PSNR": {"digit": 1}}}', 'is a damaged result'),
        ('{"schema": 2, "metric_info": []}', 'is a damaged result'),
        ('{"schema": 2}', 'is a damaged result'),
    ],
)
def test_invalid_results_are_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / 'result.json').write_text(content)
    with pytest.raises(UserError, match=reason):
        Result.load(tmp_path)
