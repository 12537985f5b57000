import json
from pathlib import Path

import numpy as np
import pytest
import torch
from common import (
    find_config_pair,
    make_photo,
    randomize_zero_weights,
    write_record,
)
from torch import nn

from mmspd.errors import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'


@pytest.mark.parametrize(
    'config',
    ['mprnet-s1', CONFIGS / 'mprnet-s1_gopro.py', CONFIGS / 'mprnet-s1_sp_gopro.py'],
)
def test_twins_are_found_by_either_name(config):
    found = find_config_pair(config, CONFIGS)
    assert found.name == 'mprnet-s1'
    assert found.plain == CONFIGS / 'mprnet-s1_gopro.py'
    assert found.guided == CONFIGS / 'mprnet-s1_sp_gopro.py'


def test_another_kind_of_prior_is_told_by_its_name():
    found = find_config_pair(CONFIGS / 'unet_sp-pretrained_gopro.py', CONFIGS)
    assert found == (
        'unet_sp-pretrained',
        CONFIGS / 'unet_gopro.py',
        CONFIGS / 'unet_sp-pretrained_gopro.py',
    )


def test_a_config_without_a_twin(tmp_path):
    (tmp_path / 'mine_gopro.py').write_text('')
    with pytest.raises(
        UserError, match='mine_sp_gopro.py, the twin of .*mine_gopro.py, does not exist'
    ):
        find_config_pair(tmp_path / 'mine_gopro.py', CONFIGS)
    with pytest.raises(UserError, match='does not exist, did you mean .*mimounet_gopro.py'):
        find_config_pair('mimonet', CONFIGS)


def test_only_sleeping_weights_are_changed():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 3))
    nn.init.zeros_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    before = net[0].weight.clone()
    randomize_zero_weights(net)
    assert torch.equal(net[0].weight, before)
    assert 0.05 < net[1].weight.std() < 0.2
    assert net[1].bias.item() == 0


def test_photo_is_smooth_and_spans_the_range():
    photo = make_photo(50, 70)
    assert (photo.shape, photo.dtype) == ((50, 70, 3), np.uint8)
    assert np.abs(np.diff(photo.astype(float), axis=1)).mean() < 0.2 * photo.std()
    assert np.ptp(photo) > 150


def test_record_names_command_time_and_machine(tmp_path):
    write_record(
        tmp_path / 'new' / 'a.json', torch.device('cpu'), [dict(ms=1.5)], ['--rounds', '1']
    )
    found = json.loads((tmp_path / 'new' / 'a.json').read_text())
    assert found['found'] == [{'ms': 1.5}]
    assert found['command'].endswith(' --rounds 1')
    assert found['machine']['torch'] == torch.__version__
    assert found['date'].startswith('20')
