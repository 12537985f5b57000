import copy
import re

import numpy as np
import pytest
import support
from scipy import stats

from mmspd.errors import UserError
from mmspd.evaluation import LPIPS, PSNR, BlurSeverity, MetricInfo
from mmspd.evaluation.comparison import (
    better_and_worse,
    bootstrap_interval,
    check_comparable,
    compare,
    compared_metrics,
    differences_of,
)
from mmspd.evaluation.comparison_report import compare_all, comparison_text
from mmspd.evaluation.results import Result

PROVENANCE = dict(
    protocol='gopro',
    dataset=dict(
        type='GoProDataset',
        split='test',
        blur_key='blur',
        images=4,
        root='/data',
        is_official_set=False,
    ),
    rounding='uint8',
    color='RGB',
    self_ensemble=False,
    tiling=None,
    precision='float32',
    machine=dict(device='cpu', torch='2.11'),
    checkpoint=dict(path='plain.pth', sha256='0123456789abcdef'),
    config=dict(path='configs/spd/unet_gopro.py', recipe='unet_gopro'),
    versions=dict(cv2='5.0', lpips='0.1.4'),
    pictures=None,
)
INFO = {**PSNR.info, **LPIPS('alex').info, **BlurSeverity.info}


def make_result(values, sequences=1, **provenance):
    """Make a result with a PSNR for each image. The inputs alternate between 24 and 30 dB."""
    images = [
        {
            'key': f'{index % sequences}/{index}' if sequences > 1 else str(index),
            'PSNR': value,
            'PSNR-input': 24.0 + 6 * (index % 2),
            'PSNR-gain': 1.0,
            'LPIPS-alex-v0.1': None if value is None else 1 - value / 100,
            'blur-extent': 7.0,
            'size': [720, 1280],
        }
        for index, value in enumerate(values)
    ]
    finite = [value for value in values if value is not None]
    provenance = {**copy.deepcopy(PROVENANCE), **provenance}
    return Result(provenance, {'PSNR': float(np.mean(finite))}, INFO, images)


def bca(values, clusters, draws=20000):
    """Compute the interval by the formulas of Efron 1987, one sample after the other."""
    rng = np.random.default_rng(1)
    names = sorted(set(clusters))
    groups = [[v for v, c in zip(values, clusters) if c == name] for name in names]

    def mean(chosen):
        return np.mean([value for index in chosen for value in groups[index]])

    everyone = list(range(len(groups)))
    means = np.array([mean(rng.choice(everyone, len(everyone))) for _ in range(draws)])
    bias = stats.norm.ppf(
        (np.sum(means < mean(everyone)) + np.sum(means <= mean(everyone))) / 2 / draws
    )
    without = np.array([mean([i for i in everyone if i != left]) for left in everyone])
    spread = without.mean() - without
    acceleration = np.sum(spread**3) / (6 * np.sum(spread**2) ** 1.5)
    shifted = bias + stats.norm.ppf([0.025, 0.975])
    shares = stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return np.quantile(means, shares)


@pytest.mark.slow
@pytest.mark.parametrize('size', [1, 3])
def test_the_interval_equals_the_formulas(size):
    values = np.random.default_rng(0).exponential(1.0, 24)
    clusters = np.arange(24) // size
    expected = bca(values, clusters)
    interval = bootstrap_interval(values, clusters)
    assert interval == pytest.approx(expected, abs=0.05)
    assert interval == bootstrap_interval(values, clusters)
    symmetric = values.mean() + np.array([-1, 1]) * 1.96 * values.std() / np.sqrt(24)
    assert abs(expected - symmetric).max() > 0.1  # another method would fail this test


def test_intervals_of_few_or_equal_values():
    assert bootstrap_interval(np.arange(4.0), range(4)) is None
    assert bootstrap_interval(np.full(9, 0.25), range(9)) == (0.25, 0.25)
    assert bootstrap_interval(np.tile([0.0, 1.0], 6), np.arange(12) // 2) == (0.5, 0.5)


def test_wins_losses_and_means_follow_the_direction_of_the_metric():
    plain, guided = make_result([30, 31, 29, 28]), make_result([31, 33, 29, 27.5])
    better = compare(plain, guided, 'PSNR')
    assert (better.wins, better.losses, better.ties) == (2, 1, 1)
    assert (better.reference, better.other, better.difference) == (29.5, 30.125, 0.625)
    assert (better.images, better.left_out, better.over_sequences) == (4, 0, None)
    lpips = compare(plain, guided, 'LPIPS-alex-v0.1')
    assert (lpips.wins, lpips.losses, lpips.ties) == (2, 1, 1)
    assert lpips.difference == pytest.approx(-0.00625)
    assert compared_metrics({'a': plain, 'b': guided}) == ['PSNR', 'LPIPS-alex-v0.1']


def test_images_are_paired_by_key_and_infinite_values_are_excluded():
    plain, guided = make_result([30, None, 32]), make_result([31, 30, 35])
    guided.images.reverse()
    assert differences_of(plain, guided, 'PSNR') == {'0': 1, '2': 3}
    difference = compare(plain, guided, 'PSNR')
    assert (difference.difference, difference.images, difference.left_out) == (2, 2, 1)
    assert (difference.reference, difference.other) == (31, 33)
    assert compare(make_result([30, None]), make_result([None, 30]), 'PSNR') is None


@pytest.mark.parametrize(
    ('provenance', 'reason'),
    [
        ({'protocol': 'lpips'}, r"plain and guided cannot .*: protocol is 'gopro' .* 'lpips'"),
        ({'rounding': 'none'}, 'rounding is'),
        (
            {'self_ensemble': True},
            'self_ensemble is False in the first and True in the second; test both',
        ),
        ({'tiling': 256}, 'tiling is None in the first and 256'),
        (
            {'window': 256},
            'window is None in the first and 256 in the second; test both with the same --window',
        ),
        (
            {'dataset': {**PROVENANCE['dataset'], 'blur_key': 'blur_gamma'}},
            r"dataset.blur_key is 'blur'",
        ),
        ({'dataset': {**PROVENANCE['dataset'], 'type': 'HIDEDataset'}}, r'dataset.type is'),
        (
            {'dataset': {**PROVENANCE['dataset'], 'images': 5}},
            r'dataset.images is 4 in the first and 5',
        ),
        (
            {'versions': {**PROVENANCE['versions'], 'lpips': '0.1.3'}},
            'versions.lpips .* LPIPS-alex',
        ),
    ],
)
def test_results_of_different_tests_are_refused(provenance, reason):
    results = {'plain': make_result([30, 31]), 'guided': make_result([30, 31], **provenance)}
    with pytest.raises(UserError, match=reason):
        check_comparable(results)


def test_results_may_differ_in_values_without_influence():
    moved = {**PROVENANCE['dataset'], 'root': '/elsewhere'}
    versions = {**PROVENANCE['versions'], 'cv2': '4.9'}
    other = make_result([30, 31], dataset=moved, versions=versions, machine={'device': 'cuda'})
    check_comparable({'plain': make_result([30, 31]), 'guided': other})


def test_finished_images_are_compared_with_a_tested_model():
    finished = dict(path='images', sha256='ab' * 32)
    unknown = dict(self_ensemble=None, tiling=None, window=None, checkpoint=None, finished=finished)
    folders = dict(type='folders', images=4, sharp='/data/sharp')
    scored = make_result([30, 32, 28, 29], dataset=folders, **unknown)
    results = {'plain': make_result([30, 31, 29, 28], window=256), 'other': scored}
    check_comparable(results)
    assert compare(*results.values(), 'PSNR').difference == 0.25
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    assert '* other: unet_gopro, finished images in images (abababab).' in text
    assert 'matched by name only' not in text
    del scored.images[0]['PSNR-input']
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    assert '* Note: the images were matched by name only, because not all' in text
    # with the description of a data set, all of its options must be equal
    dataset = {**PROVENANCE['dataset'], 'blur_key': 'blur_gamma'}
    results['other'] = make_result([30, 32, 28, 29], dataset=dataset, **unknown)
    with pytest.raises(UserError, match=r"dataset.blur_key is 'blur'"):
        check_comparable(results)


def test_a_metric_of_the_user_is_compared_by_its_info():
    def measured(values, **info):
        result = make_result([30.0] * len(values))
        stated = MetricInfo(**{'higher_is_better': False, 'package': 'cv2', **info})
        result.metric_info = {'halos': stated, 'halos-input': MetricInfo(None), **INFO}
        for image, value in zip(result.images, values):
            image.update({'halos': value, 'halos-input': 9.0})
        return result

    results = {'plain': measured([3, 4, 5]), 'guided': measured([2, 4, 1])}
    check_comparable(results)
    assert compared_metrics(results) == ['halos', 'PSNR', 'LPIPS-alex-v0.1']
    halos = compare(*results.values(), 'halos')
    assert (halos.wins, halos.losses, halos.ties, halos.difference) == (2, 0, 1, -5 / 3)
    results['guided'].provenance['versions']['cv2'] = '4.9'
    with pytest.raises(UserError, match='versions.cv2 .* because halos depends on cv2'):
        check_comparable(results)
    results['guided'] = measured([2, 4, 1], higher_is_better=True)
    with pytest.raises(UserError, match='the MetricInfo of halos is .* with the same metric'):
        check_comparable(results)


def test_results_on_other_images_are_refused():
    def refusal(change):
        other = make_result([30, 31, 32])
        change(other.images)
        with pytest.raises(UserError) as error:
            check_comparable({'plain': make_result([30, 31, 32]), 'guided': other})
        return str(error.value)

    pop = refusal(lambda images: images.pop())
    assert "1 images are only in the first result (one is '2')" in pop
    extra = dict(make_result([30]).images[0], key='new')
    assert "1 images are only in the second result (one is 'new')" in refusal(
        lambda images: images.append(extra)
    )
    changed = refusal(lambda images: images[1].update({'PSNR-input': 27.5}))
    assert "The blurry image '1' has 30.00 dB in the first and 27.50 dB in the second" in changed
    assert 'meta_keys' in refusal(lambda images: images[1].update(key='0'))


def test_results_without_a_common_metric_are_refused():
    other = make_result([30])
    other.metric_info = {'SSIM-2d': MetricInfo(True), 'PSNR': MetricInfo(None)}
    with pytest.raises(UserError, match='share no metric .*plain: PSNR.*guided: SSIM-2d\\)'):
        compared_metrics({'plain': make_result([30]), 'guided': other})


def test_severities_are_compared_separately():
    plain = make_result([30.0] * 12)
    guided = make_result([30.0 + 2 * (index % 2 == 0) for index in range(12)])
    (comparison,) = compare_all({'plain': plain, 'guided': guided}, 'PSNR')
    mild, severe = comparison.severity['input PSNR'].values()
    assert list(comparison.severity['input PSNR']) == ['29-32 dB', '23-26 dB']
    assert (mild.difference, severe.difference) == (0, 2)
    assert (mild.images, severe.images) == (6, 6)
    assert severe.over_images == (2, 2)
    assert list(comparison.severity['blur extent']) == ['mild']
    assert [d.metric for d in comparison.metrics] == ['PSNR', 'LPIPS-alex-v0.1']


def test_the_groups_of_patches_are_compared_by_their_means():
    groups = [[{'name': '< 20 dB', 'count': 7, 'PSNR': value}] for value in (21.0, 22.5)]
    groups[0].append({'name': '20-23 dB', 'count': 3, 'PSNR': 24.0})
    results = {'a': make_result([30.0] * 9), 'b': make_result([31.0] * 9)}
    for result, patches in zip(results.values(), groups):
        result.severity = {'input PSNR': [], 'patches by input PSNR': patches}
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    assert re.search(
        r'PSNR by patches by input PSNR \| +count .*\n.*\n\| < 20 dB .*\+1.50 \|', text
    )
    assert '20-23 dB' not in text
    assert text.count('PSNR by input PSNR') == 1


def test_results_that_are_equal_to_the_printed_digits_are_ties():
    plain = make_result([30, 30, 30.004, 30.0049, 30, 30])
    guided = make_result([30.004, 29.996, 30.006, 29.9951, 31, 29.99])
    results = {'plain': plain, 'guided': guided}
    assert better_and_worse(plain, guided, 'PSNR') == (['4'], ['5'])
    difference = compare(plain, guided, 'PSNR')
    assert (difference.wins, difference.losses, difference.ties) == (1, 1, 4)
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    best, worst = (text[text.index(f'PSNR, {title} images') :] for title in ('best', 'worst'))
    assert best.splitlines()[2].split(' | ')[1:] == ['30.00', ' 31.00', '     +1.00 |']
    assert best.splitlines()[3] == ''
    assert worst.splitlines()[2].split(' | ')[1:] == ['30.00', ' 29.99', '     -0.01 |']
    assert len(worst.splitlines()) == 3
    equal = {'plain': plain, 'guided': plain}
    text = comparison_text(equal, compare_all(equal, 'PSNR'), 'PSNR')
    assert '* No image is better for guided.' in text
    assert '* No image is worse for guided.' in text


def test_the_quick_start_counts_no_image_that_is_equal_to_the_printed_digits():
    count_improved = support.load_tool('quickstart_report.py').count_improved
    assert count_improved([30, 30, 30, 30], [30.004, 30.1, 29, 31]) == 2


def test_images_are_ranked_from_the_best():
    plain, guided = make_result([30, 30, 30]), make_result([29, 32, 31])
    for metric in ('PSNR', 'LPIPS-alex-v0.1'):
        (comparison,) = compare_all({'plain': plain, 'guided': guided}, metric)
        assert list(comparison.images) == ['1', '2', '0']


def test_the_text_names_the_test_and_the_interval_to_use():
    values = np.random.default_rng(0).normal(30, 1, 1111)
    dataset = {**PROVENANCE['dataset'], 'images': 1111, 'is_official_set': True}
    provenance = {'dataset': dataset}
    results = {
        'plain': make_result(values, 11, **provenance),
        'guided': make_result(
            values + 0.5,
            11,
            **provenance,
            config={'recipe': 'unet_sp_gopro'},
            precision='mixed',
            machine={'device': 'cuda', 'accelerator': 'H100'},
        ),
    }
    results['guided'].images[0]['PSNR'] = None
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    assert 'Protocol gopro on GoProDataset: split test, blur_key blur, images 1111.' in text
    assert '* guided: unet_sp_gopro, plain.pth (01234567).' in text
    assert 'precision is float32 in plain, mixed in guided' in text
    assert 'device is cpu in plain, H100 in guided' in text
    row = next(line for line in text.splitlines() if line.startswith('| PSNR '))
    assert row.count('+0.50 to +0.50 |') == 2
    assert row.endswith(' 30.29 to 31.06 (+0.77) |')
    assert 'use the interval by sequence (11 sequences)' in text
    assert '1 images have no finite PSNR' in text
    assert 'does not name its SSIM' in text
    assert 'LPIPS-alex-v0.1 (lower is better)' in text


def test_the_text_says_when_sequences_are_too_few():
    results = {
        name: make_result([value] * 9, 3, self_ensemble=True, window=256)
        for name, value in zip('ab', (30, 31))
    }
    text = comparison_text(results, compare_all(results, 'PSNR'), 'PSNR')
    assert 'images 4, self-ensemble, windows of 256 pixels.' in text
    assert '3 sequences are too few' in text
    assert 'by sequence' not in text
    assert 'paper' not in text
