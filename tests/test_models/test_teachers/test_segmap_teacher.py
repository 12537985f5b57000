"""SegmapTeacher: the map of an mmseg segmentor at the strides of the prior."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from mmspd.registry import build_model

REPOSITORY = Path(__file__).resolve().parents[3]
CLASSES = 5
HEAD = dict(
    type='FCNHead',
    in_channels=512,
    in_index=3,
    channels=8,
    num_convs=1,
    num_classes=CLASSES,
    norm_cfg=dict(type='BN'),
)
SEGMENTOR = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', depth=18, norm_cfg=dict(type='BN'), base_channels=64),
    decode_head=HEAD,
    test_cfg=dict(mode='whole'),
)
OCR_HEAD = {key: value for key, value in HEAD.items() if key != 'num_convs'}
CASCADE = dict(
    SEGMENTOR,
    type='mmseg.CascadeEncoderDecoder',
    num_stages=2,
    decode_head=[HEAD, {**OCR_HEAD, 'type': 'OCRHead', 'ocr_channels': 4}],
)


def teacher(segmentor=SEGMENTOR, channels=(CLASSES,) * 3, weights='random', **kwargs):
    torch.manual_seed(0)
    cfg = dict(type='mmspd.SegmapTeacher', segmentor=segmentor, channels=channels, weights=weights)
    return build_model(dict(cfg, **kwargs))


@pytest.fixture
def img():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 32, 64, generator=generator)


def cells_of(probability, stride):
    """Average over square cells, in float64."""
    values = probability.double().numpy()
    n, classes, height, width = values.shape
    blocks = values.reshape(n, classes, height // stride, stride, width // stride, stride)
    return torch.from_numpy(blocks.mean(axis=(3, 5)))


@pytest.mark.slow
@pytest.mark.parametrize('segmentor', [SEGMENTOR, CASCADE], ids=['plain', 'cascade'])
def test_the_map_equals_mmsegs(segmentor, img):
    """The reference is mmseg's whole-image inference, averaged in each cell of the prior."""
    mean, std = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]
    network = teacher(segmentor, mean=mean, std=std, scale=2)
    doubled = F.interpolate(img * 255, scale_factor=2, mode='bilinear', align_corners=False)
    normal = (doubled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    meta = dict(img_shape=(64, 128), ori_shape=(64, 128), pad_shape=(64, 128), padding_size=[0] * 4)
    with torch.no_grad(), DefaultScope.overwrite_default_scope('mmseg'):
        logits = network.backbone.whole_inference(normal, [meta, meta])
    scores = np.exp(logits.double().numpy())
    probability = torch.from_numpy(scores / scores.sum(axis=1, keepdims=True))
    maps = network(img)
    assert network.strides == (2, 4, 8)
    for segmap, stride in zip(maps, network.strides):
        want = cells_of(probability, 2 * stride)  # of the enlarged image
        torch.testing.assert_close(segmap.double(), want, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_onehot_is_the_most_likely_class_of_each_cell(img):
    for hard, soft in zip(teacher(form='onehot')(img), teacher()(img)):
        assert hard.unique().tolist() == [0, 1]
        assert torch.equal(hard.argmax(1), soft.argmax(1))
        assert torch.equal(hard.sum(1), torch.ones_like(hard[:, 0]))


@pytest.mark.parametrize('form', ['probability', 'onehot'])
@pytest.mark.parametrize('strides', [(4, 8, 16), (1, 2)])
def test_strides_follow_the_config(form, strides, img):
    network = teacher(channels=(CLASSES,) * len(strides), strides=strides, form=form)
    assert network.strides == strides
    assert network.channels == (CLASSES,) * len(strides)
    assert [m.shape for m in network(img)] == [(2, CLASSES, 32 // s, 64 // s) for s in strides]


@pytest.mark.slow
def test_bfloat16_autocast_gives_a_distribution_in_float32(img):
    with torch.autocast('cpu', torch.bfloat16):
        maps = teacher()(img)
    for segmap in maps:
        assert segmap.dtype == torch.float32
        torch.testing.assert_close(segmap.sum(1), torch.ones_like(segmap[:, 0]))


@pytest.fixture
def process_group():
    """A distributed run with one process."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_a_published_config_of_mmseg(process_group, img):
    """DeepLabV3+ from its published config, with SyncBN, without the keys of the teacher."""
    name = 'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py'
    segmentor = get_config(f'mmseg::{name}').model.to_dict()
    del segmentor['data_preprocessor'], segmentor['pretrained'], segmentor['auxiliary_head']
    maps = teacher(segmentor, channels=(19, 19, 19))(img)
    assert [m.shape for m in maps] == [(2, 19, 32 // s, 64 // s) for s in (2, 4, 8)]


@pytest.mark.slow
def test_an_mmseg_checkpoint_loads_strictly(tmp_path):
    source = teacher().backbone
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    state = source.state_dict()
    auxiliary = {'auxiliary_head.conv_seg.weight': torch.zeros(1)}  # used in training only
    torch.save({'meta': {}, 'state_dict': {**state, **auxiliary}}, tmp_path / 'segmentor.pth')
    got = teacher(weights=str(tmp_path / 'segmentor.pth')).backbone.state_dict()
    assert all(torch.equal(got[key], value) for key, value in state.items())

    backbone_only = {key: value for key, value in state.items() if key.startswith('backbone.')}
    torch.save({'state_dict': backbone_only}, tmp_path / 'backbone.pth')
    with pytest.raises(ValueError, match=r'EncoderDecoder: .* 12 missing \(decode_head'):
        teacher(weights=str(tmp_path / 'backbone.pth'))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(channels=(5, 5)), r'channels is \(5, 5\), .* set teacher\.channels=\(5, 5, 5\)'),
        (dict(channels=(19,) * 3), r'channels is \(19, 19, 19\), .* returns \(5, 5, 5\) channels'),
        (dict(form='soft'), "form='soft' is unknown; use 'probability' or 'onehot'"),
        (
            dict(segmentor=dict(SEGMENTOR, data_preprocessor=dict(type='SegDataPreProcessor'))),
            'data_preprocessor is not used; remove it and set its mean and std as teacher.mean',
        ),
        (
            dict(segmentor=dict(SEGMENTOR, pretrained='open-mmlab://resnet50_v1c')),
            'must not load weights itself',
        ),
        (
            dict(
                segmentor=dict(
                    SEGMENTOR,
                    backbone=dict(SEGMENTOR['backbone'], init_cfg=dict(type='Pretrained')),
                )
            ),
            'must not load weights itself',
        ),
        (
            dict(
                segmentor=dict(
                    SEGMENTOR, decode_head=dict(HEAD, num_classes=2, out_channels=1, threshold=0.3)
                ),
                channels=(1, 1, 1),
            ),
            'has one output channel, which is not a distribution over classes',
        ),
    ],
)
def test_user_errors_have_one_sentence(kwargs, message):
    with pytest.raises(ValueError, match=message):
        teacher(**kwargs)


@pytest.mark.slow
def test_published_weights_fit_the_shipped_teachers(shared_data):
    file = shared_data / 'data' / 'seg' / 'espnetv2' / 'espnetv2_s_2.0_city_1024x512.pth'
    state = torch.load(file, map_location='cpu', weights_only=True)
    for name in ('espnetv2_segmap', 'espnetv2_features'):
        cfg = Config.fromfile(REPOSITORY / f'configs/_base_/teachers/{name}.py').teacher
        cfg.weights = str(file)
        got = build_model(cfg).backbone.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in got.items())
