"""SegmapDistillationLoss: cross-entropy, precision, and training of a student."""

import math

import pytest
import torch
from restorer_contract import EMBEDDING

from mmspd.registry import build_model

CHANNELS = (3, 3)
EXTRACTOR = dict(type='mmspd.ConvExtractor', width=16, num_blocks=(1, 1, 1))
ESPNET = dict(type='mmspd.ESPNetv2', num_classes=3, width_multiplier=0.5)


def loss(**kwargs):
    cfg = dict(
        type='mmspd.SegmapDistillationLoss', prior_channels=CHANNELS, teacher_channels=CHANNELS
    )
    return build_model(dict(cfg, **kwargs))


def maps(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((8, 12), (4, 6))
    return [torch.randn(2, 3, *size, generator=generator).softmax(1) for size in sizes]


@pytest.mark.parametrize('form', ['probability', 'onehot'])
def test_cross_entropy(form):
    prior, target = maps(0), maps(1)
    if form == 'onehot':
        target = [torch.eye(3)[t.argmax(1)].permute(0, 3, 1, 2) for t in target]
    got = loss(loss_weight=0.3)([p.log() for p in prior], target)
    levels = []
    for own, expected in zip(prior, target):
        terms = [
            -w * math.log(p)
            for p, w in zip(own.double().flatten().tolist(), expected.flatten().tolist())
        ]
        levels.append(sum(terms) / (own.numel() / 3))
    assert got.item() == pytest.approx(0.3 * sum(levels) / 2, rel=1e-6)


def test_float32_under_autocast_and_for_half_maps():
    prior, target = [p.log() for p in maps(0)], maps(1)
    want = loss()(prior, target)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss()(prior, target), want)
    half = loss()([p.bfloat16() for p in prior], [t.bfloat16() for t in target])
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(want.item(), rel=1e-2)


def test_different_classes_and_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r'\(3, 3\) classes at its levels, but teacher.channels has \(4, 4\)'
    ):
        loss(teacher_channels=(4, 4))
    with pytest.raises(ValueError, match='set prior.extractor.strides to teacher.strides'):
        loss()(maps(0), [t[..., :-1] for t in maps(1)])


@pytest.mark.slow
@pytest.mark.parametrize('form', ['probability', 'onehot'])
def test_a_deblurrer_learns_the_teachers_map(form):
    """Train student and loss in the deblurrer; the teacher is not part of its state dict."""
    from mmagic.structures import DataSample

    torch.manual_seed(0)
    model = build_model(
        dict(
            type='mmspd.SemanticPriorDeblurrer',
            generator=dict(
                type='mmspd.SemanticGuided',
                restorer=dict(type='mmspd.UNet', base=4, num_res=1),
                prior=dict(type='mmspd.SegmapSPL', num_classes=3, form=form, extractor=EXTRACTOR),
                embedding=EMBEDDING,
            ),
            losses=dict(loss_pix=dict(type='mmagic.L1Loss')),
            teacher=dict(
                type='mmspd.SegmapTeacher',
                segmentor=ESPNET,
                channels=(3, 3, 3),
                weights='random',
                form=form,
            ),
            prior_loss=dict(type='mmspd.SegmapDistillationLoss', loss_weight=1.0),
        )
    )
    model.init_weights()
    blurry = torch.rand(2, 3, 32, 32)
    sharp = DataSample()
    sharp.set_tensor_data(dict(gt_img=torch.rand(2, 3, 32, 32)))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(12):
        losses = model(blurry, sharp, mode='loss')
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(losses['loss_prior'].item())
    teacher = model._teacher.get(torch.device('cpu'))
    floor = sum(torch.special.entr(t).sum(1).mean().item() for t in teacher(sharp.gt_img)) / 3
    assert history[-1] - floor < 0.3 * (history[0] - floor)
    assert not [key for key in model.state_dict() if 'teacher' in key or 'prior_loss' in key]
