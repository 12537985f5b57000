"""SegmapSPL: one map at every level, the guidance, and use in a guided restorer."""

import pytest
import torch
from prior_features import resize
from restorer_contract import RestorerContract, guide, image
from unit_gain import unit_gain

from mmspd.registry import build_model

CLASSES = 5
EXTRACTOR = dict(type='mmspd.ConvExtractor', width=8, strides=(2, 4, 8), num_blocks=(1, 1, 1))
UNET = dict(type='mmspd.UNet', base=8, num_res=1)


def branch(**kwargs):
    torch.manual_seed(0)
    cfg = dict(type='mmspd.SegmapSPL', extractor=EXTRACTOR, num_classes=CLASSES)
    return build_model(dict(cfg, **kwargs))


def test_one_map_at_every_stride():
    """Sum of the scores of all levels, softmax, and the mean probability of the covered pixels."""
    spl = unit_gain(branch().double())
    img = image(32, 48, 2).double()
    with torch.no_grad():
        prior = spl(img)
        features = spl.extractor(img)
    scores = 0
    for feature, conv in zip(features, spl.classifiers):
        own = torch.einsum('oi,nihw->nohw', conv.weight[..., 0, 0], feature)
        scores = scores + resize(own + conv.bias.view(1, -1, 1, 1), (16, 24))
    raised = torch.exp(scores - scores.amax(1, keepdim=True))
    probability = raised / raised.sum(1, keepdim=True)
    assert spl.channels == (CLASSES,) * 3
    assert spl.strides == (2, 4, 8)
    for level, side in zip(prior, (1, 2, 4)):
        cells = probability.unfold(2, side, side).unfold(3, side, side).mean((-1, -2))
        torch.testing.assert_close(level.exp(), cells, rtol=1e-9, atol=1e-12)


def test_a_confident_error_keeps_its_gradient():
    """If a float32 probability is 0, its logarithm is still finite and has a gradient."""
    spl = branch()
    with torch.no_grad():
        spl.classifiers[0].bias[0] = 300.0
    prior = spl(image())
    assert all(torch.isfinite(level).all() for level in prior)
    for level in prior:
        assert level[:, 1].max() < -200
        (gradient,) = torch.autograd.grad(
            -level[:, 1].mean(), spl.classifiers[0].bias, retain_graph=True
        )
        assert gradient[0].item() == pytest.approx(1, abs=1e-3)


def test_guidance_is_the_probability():
    spl = branch()
    prior = spl(image())
    for shown, level in zip(spl.guidance(prior), prior):
        torch.testing.assert_close(shown.sum(1), torch.ones_like(shown[:, 0]))
        torch.testing.assert_close(shown.log(), level)


def test_guidance_is_hard_with_the_gradient_of_the_soft_map():
    hard, soft = branch(form='onehot'), branch()
    prior = [level.detach().requires_grad_() for level in soft(image())]
    weights = [torch.rand_like(level) for level in prior]
    shown_hard, shown_soft = hard.guidance(prior), soft.guidance(prior)
    for shown, level in zip(shown_hard, prior):
        assert shown.unique().tolist() == [0, 1]
        assert torch.equal(shown.argmax(1), level.argmax(1))
        assert torch.equal(shown.sum(1), torch.ones_like(shown[:, 0]))

    def gradients(shown):
        return torch.autograd.grad(sum((s * w).sum() for s, w in zip(shown, weights)), prior)

    for got, want in zip(gradients(shown_hard), gradients(shown_soft)):
        assert want.abs().sum() > 0
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize('form', ['probability', 'onehot'])
def test_the_restorer_gets_the_guidance_and_the_loss_gets_the_prior(form):
    guided = guide(UNET, prior=dict(type='mmspd.SegmapSPL', num_classes=CLASSES, form=form))
    seen = {}
    guided.embedding.register_forward_pre_hook(lambda m, args: seen.update(shown=args[0]))
    img = image(32, 32)
    _, prior = guided.forward_with_prior(img)
    for shown, level, want in zip(seen['shown'], prior, guided.prior(img)):
        assert torch.equal(level, want)
        assert torch.equal(shown, guided.prior.guidance([level])[0])
        assert (len(shown.unique()) == 2) == (form == 'onehot')


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="form='hard' is unknown; use 'probability' or 'onehot'"):
        branch(form='hard')
    uneven = build_model(EXTRACTOR)
    uneven.strides = (2, 3, 6)  # as a custom extractor could have
    with pytest.raises(ValueError, match=r'strides \(2, 3, 6\); set prior\.extractor\.strides'):
        branch(extractor=uneven)


class SegmapContract(RestorerContract):
    """The contract of a restorer that a segmentation map guides."""

    restorer = UNET

    @pytest.fixture
    def network(self):
        return self.build('guided')


class TestGuidedByProbability(SegmapContract):
    prior = dict(type='mmspd.SegmapSPL', extractor=EXTRACTOR, num_classes=CLASSES)


class TestGuidedByOneHot(SegmapContract):
    prior = dict(type='mmspd.SegmapSPL', extractor=EXTRACTOR, num_classes=CLASSES, form='onehot')
