"""Views of the prior: each map is compared with an independent computation."""

import math

import pytest
import torch
import torch.nn.functional as F
from restorer_contract import PRIOR, guide, image, randomize

from mmspd.errors import UserError
from mmspd.models.layers.segmentation_maps import one_hot
from mmspd.registry import build_model
from mmspd.visualization import view_prior

UNET = dict(type='mmspd.UNet', base=4, num_res=1)
TEACHER = dict(
    type='mmspd.FeatureTeacher',
    backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2)),
    channels=(64, 128, 256),
    weights='random',
)
DISTIL = dict(type='mmspd.PriorDistillationLoss', normalize=False)
SIZE = (37, 43)  # the restorer pads this size, and the prior pads it further
GRIDS = [(19, 22), (10, 11), (5, 6)]


def deblurrer(generator, **kwargs):
    losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
    cfg = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses, **kwargs)
    return build_model(cfg).eval()


def trained(generator=None, **kwargs):
    return randomize(deblurrer(generator or guide(UNET), **kwargs))


@pytest.fixture
def pair():
    return image(*SIZE, batch=2).split(1)


@torch.no_grad()
def test_images_and_features(pair):
    model = trained()
    view = view_prior(model, *pair)
    assert abs(view.blurry / 255 - pair[0][0].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    assert abs(view.sharp / 255 - pair[1][0].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    outputs, prior = model.generator.forward_with_prior(pair[0])
    restored = outputs[-1][0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert abs(view.restored - restored).max() <= 0.501
    assert view.classes is None
    for i, (level, (rows, columns)) in enumerate(zip(view.levels, GRIDS)):
        assert level.stride == 2 ** (i + 1)
        assert (level.prior == prior[i][0, :, :rows, :columns].numpy()).all()
        aggregated = model.generator.embedding.mla[str(i)](prior)
        assert (level.aggregated == aggregated[0, :, :rows, :columns].numpy()).all()
        assert level.student is level.teacher is level.similarity is None
    assert view.notes == ('There is no similarity, because the model has no teacher.',)


@torch.no_grad()
def test_mu_and_sigma_match_the_fusion(pair):
    """The fusion of zeros is sigma, and the fusion of ones is mu + sigma (Eq. 6)."""
    model = trained()
    view = view_prior(model, pair[0])
    embedding = model.generator.embedding
    aggregated = embedding.aggregate(model.generator.compute_prior(pair[0]))
    assert list(view.seams) == ['dec3', 'dec2', 'dec1']
    for name, seam in view.seams.items():
        assert seam.level == embedding.levels[name]
        fusion, source = embedding.fusions[name], aggregated[seam.level]
        channels, side = fusion.delta[2].out_channels, fusion.scale
        grid = [int(length * side) for length in source.shape[-2:]]
        sigma = fusion(source, torch.zeros(1, channels, *grid))
        mu = fusion(source, torch.ones(1, channels, *grid)) - sigma
        # enlarging and averaging over channels commute; the corner avoids the padding of the image
        inner = (slice(None), slice(None), slice(0, grid[0] // 2), slice(0, grid[1] // 2))
        for shown, expected in ((seam.mu, mu), (seam.sigma, sigma)):
            large = F.interpolate(
                torch.from_numpy(shown)[None, None], scale_factor=side, mode='bilinear'
            )
            torch.testing.assert_close(large[inner], expected.mean(1, keepdim=True)[inner])
        change, sizes = fusion.delta(source), fusion.sigma(source)
        rows, columns = seam.mu.shape
        change, sizes = (x[0, :, :rows, :columns].numpy() for x in (change, sizes))
        assert seam.mu_change == pytest.approx(abs(change).mean(), rel=1e-5)
        assert seam.sigma_size == pytest.approx(abs(sizes).mean(), rel=1e-5)
        assert seam.mu_spread == pytest.approx(change.std(axis=(1, 2)).mean(), rel=1e-4)
        assert seam.sigma_spread == pytest.approx(sizes.std(axis=(1, 2)).mean(), rel=1e-4)


def test_an_untrained_prior_changes_nothing(pair):
    for seam in view_prior(deblurrer(guide(UNET)), pair[0]).seams.values():
        assert (seam.mu == 1).all()
        assert (seam.sigma == 0).all()
        assert (seam.mu_change, seam.sigma_spread) == (0, 0)


@torch.no_grad()
@pytest.mark.parametrize('pooled', [1, 2])
def test_student_and_teacher(pair, pooled):
    """Also with a teacher of twice the strides of the prior."""
    model = trained(teacher=dict(TEACHER, scale=2 // pooled), prior_loss=DISTIL)
    assert view_prior(model, pair[0]).levels[0].teacher is None
    view = view_prior(model, *pair)
    prior = model.generator.compute_prior(pair[0])
    for i, (level, grid) in enumerate(zip(view.levels, GRIDS)):
        rows, columns = (math.ceil(side / pooled) for side in grid)
        own = F.avg_pool2d(prior[i], pooled, ceil_mode=True, count_include_pad=False)
        own = model.prior_loss.heads[i](own)[0, :, :rows, :columns]
        assert (level.student == own.numpy()).all()
        assert level.teacher.shape == (TEACHER['channels'][i], rows, columns)
        assert level.teacher_stride == pooled * level.stride
        taught = torch.from_numpy(level.teacher)
        cosine = (own * taught).sum(0) / (own.norm(dim=0) * taught.norm(dim=0))
        torch.testing.assert_close(torch.from_numpy(level.similarity), cosine)
    numbers = view.numbers()
    assert numbers['levels'][1]['similarity'] == pytest.approx(view.levels[1].similarity.mean())
    assert numbers['levels'][1]['stride'] == 4
    assert numbers['seams']['dec3']['level'] == 3
    assert set(numbers['psnr']) == {'blurry', 'restored'}
    assert view.notes == ()


@torch.no_grad()
def test_a_student_that_matches_its_teacher_has_similarity_1(pair):
    """The teacher returns twice the output of the head, so both have the same direction."""
    model = trained(teacher=TEACHER, prior_loss=DISTIL)
    prior = model.generator.compute_prior(pair[0])
    model._teacher.get = lambda device: (
        lambda sharp: [2 * level for level in model.prior_loss.project(prior, prior)]
    )
    for level in view_prior(model, *pair).levels:
        assert level.similarity.min() > 1 - 1e-5


@torch.no_grad()
def test_a_segmentation_map_is_shown_as_probabilities(pair):
    prior = dict(type='mmspd.SegmapSPL', num_classes=5, extractor=PRIOR['extractor'])
    loss = dict(type='mmspd.SegmapDistillationLoss')
    teacher = dict(TEACHER, channels=(5, 5, 5))
    model = trained(guide(UNET, prior=prior), teacher=teacher, prior_loss=loss)
    exact = [one_hot(level) for level in model.generator.compute_prior(pair[0])]
    model._teacher.get = lambda device: lambda sharp: exact
    view = view_prior(model, *pair)
    assert view.classes == 5
    for level in view.levels:
        assert level.prior.sum(0) == pytest.approx(1, abs=1e-5)
        assert (level.student == level.prior).all()
        best = level.prior.max(0) / (level.prior**2).sum(0) ** 0.5  # cosine to the best class
        assert level.similarity == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize('fusion', ['AddFusion', 'ConcatFusion'])
def test_other_fusions_have_no_mu(pair, fusion):
    view = view_prior(trained(guide(UNET, fusion=f'mmspd.{fusion}')), pair[0])
    assert view.seams == {}
    assert view.notes == (f'There is no mu and sigma, because the fusion is {fusion}.',)
    assert view.levels[0].aggregated is not None


def test_a_level_that_no_seam_uses(pair):
    levels = view_prior(trained(guide(UNET, seams=['dec1'])), pair[0]).levels
    assert [level.aggregated is None for level in levels] == [False, True, True]


@pytest.mark.parametrize('make', [lambda: deblurrer(UNET), lambda: torch.nn.Linear(1, 1)])
def test_models_without_a_prior_are_refused(pair, make):
    with pytest.raises(UserError, match='has no guided generator, so there is no prior to view'):
        view_prior(make(), pair[0])


def test_broken_weights_are_refused(pair):
    model = deblurrer(guide(UNET))
    next(model.generator.prior.parameters()).data.fill_(float('nan'))
    with pytest.raises(UserError, match='The prior has values that are not finite'):
        view_prior(model, pair[0])
