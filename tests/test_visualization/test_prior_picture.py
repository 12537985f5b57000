"""Colors are comparable between pictures, and pictures can have any size."""

import numpy as np
import pytest

from mmspd.visualization.prior_picture import Palette, color_panel, draw_rows
from mmspd.visualization.prior_view import LevelView, PriorView, SeamView


def features(seed, channels=6, rows=8, columns=12):
    return np.random.default_rng(seed).normal(size=(channels, rows, columns)).astype(np.float32)


def make_view(levels, seams=None, size=(16, 24), sharp=True, classes=None):
    blurry, restored = np.full((2, *size, 3), 100, np.uint8)
    restored = restored + np.uint8(20)
    sharp = np.full((*size, 3), 110, np.uint8) if sharp else None
    return PriorView(blurry, restored, sharp, levels, seams or {}, classes, ())


def compared(prior, student, teacher, stride=2):
    similarity = np.zeros(prior.shape[1:], np.float32)
    return LevelView(stride, prior, prior, student, teacher, similarity)


def seam(mu, sigma, level=0):
    return SeamView(level, mu, sigma, 0.1, 0.0, 0.2, 0.0)


def panels_of(view, *others):
    rows = Palette([view, *others]).rows(view)
    return {panel.name: panel for row in rows for panel in row if panel is not None}


def test_equal_features_have_equal_colors():
    """In the student's and the teacher's map, and in different images."""
    first = make_view([compared(features(0), features(1), features(1))])
    second = make_view([compared(features(0), features(2), features(1))])
    palette = Palette([first, second])
    (_, prior, _, student, teacher, _), (_, prior2, _, student2, teacher2, _) = (
        [row[0].pixels for row in palette.rows(view)] for view in (first, second)
    )
    assert (student == teacher).all()
    assert (prior == prior2).all()
    assert (teacher == teacher2).all()
    assert abs(student2.astype(int) - teacher2).mean() > 10
    assert prior.reshape(-1, 3).mean(0) == pytest.approx(127.5, abs=4)
    assert prior.reshape(-1, 3).std(0) == pytest.approx(255 / 5, rel=0.1)  # 2.5 deviations a side


def test_the_maps_of_a_teacher_of_larger_strides_have_the_size_of_the_image():
    small = features(1, rows=4, columns=6)
    similarity = np.zeros((4, 6), np.float32)
    level = LevelView(2, features(0), None, small, small, similarity, teacher_stride=4)
    panels = panels_of(make_view([level]))
    strides = dict(prior_1=2, student_1=4, teacher_1=4, similarity_1=4)
    assert {name: panels[name].stride for name in strides} == strides
    assert panels['prior_1'].title.endswith('stride 2')
    assert panels['teacher_1'].title.endswith('stride 4')
    assert color_panel(panels['teacher_1'], (16, 24)).shape[:2] == (16, 24)


def test_a_level_with_the_same_content_has_the_same_colors():
    """The coarser level has the means of the finer level, mixed, scaled and shifted."""
    fine = features(0, channels=3).cumsum(1).cumsum(2) / 10
    means = fine.reshape(3, 4, 2, 6, 2).mean((2, 4))
    mixture = np.linalg.qr(features(1, 3, 3, 1)[..., 0])[0]
    coarse = (7 * np.einsum('ij,jhw->ihw', mixture, means) + 5).astype(np.float32)
    panels = panels_of(make_view([LevelView(2, fine, fine), LevelView(4, coarse, None)]))
    assert 'aggregated_2' not in panels
    coarse = panels['prior_2'].pixels.astype(int)
    blocks = panels['prior_1'].pixels.reshape(4, 2, 6, 2, 3)
    whole = (blocks.min((1, 3)) > 0) & (blocks.max((1, 3)) < 255)  # blocks without clipped colors
    assert whole.mean() > 0.7
    assert abs(coarse - blocks.mean((1, 3)))[whole].max() < 2


def test_mu_and_sigma_have_the_same_span_in_all_images():
    ones, zeros = np.ones((8, 12)), np.zeros((8, 12))
    level = LevelView(2, features(0), None)
    first = make_view([level], dict(dec1=seam(ones + 0.01, zeros)))
    second = make_view([level], dict(dec1=seam(ones - 0.2, zeros)))
    for view, other in ((first, second), (second, first)):
        panels = panels_of(view, other)
        assert panels['mu_dec1'].span == pytest.approx((0.8, 1.2))
        assert panels['sigma_dec1'].span == (-0.001, 0.001)
    color = color_panel(panels['sigma_dec1'], (16, 24))
    assert color.min() > 240  # zero is white


def test_seams_are_ordered_by_level_with_mu_above_sigma():
    maps = np.ones((8, 12)), np.zeros((8, 12))
    seams = {name: seam(*maps, level=i) for name, i in zip('dcba', (2, 1, 0, 1))}
    levels = [LevelView(2, features(i), features(i)) for i in range(3)]
    rows = Palette([make_view(levels, seams)]).rows(make_view(levels, seams))
    names = [[panel.name for panel in row] for row in rows]
    assert names[0] == ['blurry', 'restored', 'sharp']
    assert names[2] == ['aggregated_1', 'aggregated_2', 'aggregated_3']
    assert names[3:] == [['mu_b', 'mu_c', 'mu_a'], ['sigma_b', 'sigma_c', 'sigma_a']] + [
        ['mu_d'],
        ['sigma_d'],
    ]
    assert rows[0][0].title == 'blurry, 28.13 dB'  # the error is 10 at every pixel


@pytest.mark.parametrize('classes', [5, 33])
def test_class_maps(classes):
    probability = np.full((classes, 8, 12), 0.01, np.float32)
    probability[0], probability[3, :, 6:], probability[classes - 1, :4] = 0.3, 0.4, 0.5
    level = LevelView(2, probability, probability, probability, probability, np.ones((8, 12)))
    panels = panels_of(make_view([level], classes=classes))
    assert 'student_1' not in panels
    for name in ('prior_1', 'teacher_1'):
        assert set(panels[name].pixels.flat) == {0.5, 3.5, classes - 0.5}
        assert len(np.unique(color_panel(panels[name], (16, 24)).reshape(-1, 3), axis=0)) == 3


def test_a_single_map_covers_the_image():
    panels = panels_of(
        make_view([LevelView(4, features(0, rows=5, columns=6), None)], size=(18, 23))
    )
    shown = color_panel(panels['prior_1'], (18, 23))
    assert shown.shape == (18, 23, 3)
    assert (shown[:4, :4] == panels['prior_1'].pixels[0, 0]).all()
    assert (shown[17, 22] == panels['prior_1'].pixels[4, 5]).all()


@pytest.mark.parametrize('size', [(1, 1), (1, 40), (60, 2)])
@pytest.mark.parametrize('channels', [1, 4])
def test_pictures_of_any_size(size, channels):
    """The features are zero everywhere, so they have no components."""
    shape = (channels, -(-size[0] // 2), -(-size[1] // 2))
    maps = np.ones(shape[1:]), np.zeros(shape[1:])
    level = LevelView(2, np.zeros(shape, np.float32), None)
    view = make_view([level], dict(dec1=seam(*maps)), size)
    rows = Palette([view]).rows(view)
    assert (rows[1][0].pixels == 128).all()  # gray
    picture = draw_rows(rows[:3], 'not $math_{$.png')
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert 1000 < picture.shape[1] < 1300
    assert 400 < picture.shape[0] < 2200
    assert (picture[[0, -1]] == 255).all()
