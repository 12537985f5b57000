"""Errors of weight files name the file and the variable that set it."""

import pytest
import torch
from torch import nn

from mmspd.errors import UserError
from mmspd.weights.loading import load_backbone_weights


def test_the_error_names_the_variable_that_set_the_file(tmp_path, monkeypatch):
    file = tmp_path / 'other.pth'
    torch.save({'x': torch.zeros(1)}, file)
    cfg = dict(type='Backbone')
    with pytest.raises(UserError, match=r'other\.pth does not fit Backbone'):
        load_backbone_weights(nn.Conv2d(1, 1, 1), str(file), cfg)
    monkeypatch.setenv('MMSPD_TEACHER', str(file))
    with pytest.raises(UserError, match=r'other\.pth \(set by MMSPD_TEACHER\) does not fit'):
        load_backbone_weights(nn.Conv2d(1, 1, 1), str(file), cfg)
    file.unlink()
    with pytest.raises(UserError, match=r'not exist; correct the path \(set by MMSPD_TEACHER\)'):
        load_backbone_weights(nn.Conv2d(1, 1, 1), str(file), cfg)
