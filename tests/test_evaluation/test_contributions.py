"""Results of published weights, checked against the published numbers."""

import re

import pytest

from mmspd.datasets import GoProDataset, HIDEDataset, RealBlurDataset
from mmspd.errors import UserError
from mmspd.evaluation import PSNR, SSIM, Result
from mmspd.evaluation.contributions import TEST_SETS, check_published, check_result, read_all
from mmspd.evaluation.results_tables import paper_tables_markdown, published_table_markdown
from mmspd.weights.catalog import CATALOG

RESTORMER = '194e38fb5b607c9dc5a5b3e08e65b2e79ee2bf0ef5048e0612f6b2ff2f79da31'
PROVENANCE = dict(
    protocol='gopro',
    dataset=dict(TEST_SETS['GoPro'], is_official_set=True, root='/data'),
    rounding='nearest',
    self_ensemble=False,
    tiling=None,
    precision='float32 (convolutions in TF32 where the device has it)',
    checkpoint=dict(path='w.pth', sha256=RESTORMER),
    config=dict(path='configs/spd/restormer_gopro.py', recipe='restormer_gopro'),
    versions=dict(mmspd='0.2.0'),
    machine=dict(device='cuda:0'),
    date='2026-11-28',
)


def measured(psnr=32.92, **changes):
    """A result on all images of a test set. Values on half of the images are 1 dB higher."""
    provenance = {**PROVENANCE, **changes}
    count = provenance['dataset']['images']
    images = [
        {'key': f's/{n}', 'PSNR': psnr + (n % 2) - (count // 2) / count} for n in range(count)
    ]
    return Result(provenance, {'PSNR': psnr}, {**PSNR.info, **SSIM().info}, images)


def trained(recipe, psnr):
    return measured(psnr, config=dict(recipe=recipe), checkpoint=dict(sha256='0' * 64))


def save(result, path):
    """Write a result to a file of any name, as a contributor does."""
    result.save(path.parent)
    (path.parent / 'result.json').rename(path)


def test_the_test_sets_are_complete():
    for name, kind in (
        ('GoPro', GoProDataset),
        ('HIDE', HIDEDataset),
        ('RealBlur-J', RealBlurDataset),
    ):
        assert TEST_SETS[name]['type'] == kind.__name__
        assert TEST_SETS[name]['images'] == kind.OFFICIAL_PAIRS['test']
    published = {score.dataset for weights in CATALOG for score in weights.scores}
    assert published - {*TEST_SETS} == {'REDS-300'}  # mmspd does not read REDS


@pytest.mark.parametrize('psnr', [32.90, 32.9399, 32.94])
def test_a_result_within_the_tolerance_agrees(psnr):
    for name in ('restormer_gopro', 'official'):
        score = check_published(measured(psnr), name)
        assert (score.dataset, score.psnr) == ('GoPro', 32.92)


def test_a_published_number_has_its_protocol(monkeypatch):
    (restormer,) = (weights for weights in CATALOG if weights.name == 'restormer_gopro')
    truncated = restormer.scores[0]._replace(protocol='gopro-truncated')
    other = restormer._replace(name='other', scores=(truncated,))
    monkeypatch.setattr('mmspd.weights.by_name.CATALOG', (other,))
    changes = dict(protocol='gopro-truncated', rounding='truncate')
    assert check_published(measured(**changes), 'other') == truncated
    with pytest.raises(UserError, match=r"protocol .* 'gopro', not 'gopro-truncated'; test with"):
        check_published(measured(), 'other')


def test_a_recipe_with_windows_needs_them():
    changes = dict(config=dict(recipe='hinet_gopro'))
    assert check_published(measured(32.77, window=256, **changes), 'official').psnr == 32.77
    with pytest.raises(UserError, match='window of the result is None, not 256; test with the'):
        check_published(measured(32.77, window=None, **changes), 'official')


def test_other_test_sets_have_their_own_numbers():
    hide = dict(TEST_SETS['HIDE'])
    assert check_published(measured(31.23, dataset=hide), 'official').psnr == 31.22
    gamma = dict(TEST_SETS['GoPro, blur_gamma'])
    changes = dict(dataset=gamma, config=dict(recipe='deepdeblur_gopro'))
    assert check_published(measured(30.41, **changes), 'official').psnr == 30.40


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (dict(psnr=32.8999), r'restormer_gopro has 32\.8999 dB on GoPro, but 32\.92 dB are publis'),
        (dict(psnr=32.9401), r'differs by more than 0\.02 dB; report this'),
        (dict(checkpoint=None), 'The result is of finished images; use a result of mmspd test'),
        (
            dict(checkpoint=dict(sha256='0' * 64)),
            'has the SHA-256 0+, but restormer_gopro has 194e',
        ),
        (dict(checkpoint=dict(path=None, sha256=None)), 'has no SHA-256 of the checkpoint; test a'),
        (
            dict(config=dict(recipe='unet_gopro')),
            "config.recipe of the result is 'unet_gopro', not",
        ),
        (dict(protocol='lpips'), "protocol of the result is 'lpips', not 'gopro'; test with --pro"),
        (
            dict(rounding='truncate'),
            "rounding of the result is 'truncate', not 'nearest'; test with",
        ),
        (dict(self_ensemble=True), 'self_ensemble of the result is True, not False; test without'),
        (dict(window=256), 'window of the result is 256, not None; test with the window of the re'),
        (dict(tiling=512), 'tiling of the result is 512, not None; test without --tile'),
        (dict(precision='bfloat16'), "precision of the result is 'bfloat16', not 'float32'; test"),
        (dict(versions={}), 'has no version of mmspd'),
        (
            dict(dataset=dict(TEST_SETS['GoPro'], images=1110)),
            r'not of a complete test set \(type G',
        ),
        (dict(dataset=dict(TEST_SETS['GoPro'], split='train')), 'not of a complete test set'),
        (
            dict(dataset=dict(TEST_SETS['GoPro'], blur_key='blur_gamma')),
            'authors of restormer_gopro published no PSNR on GoPro, blur_gamma; test on a data set',
        ),
    ],
)
def test_incomplete_evidence_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        check_published(measured(**changes), 'restormer_gopro')


@pytest.mark.parametrize('name', ['dataset', 'precision', 'tiling', 'versions'])
def test_a_stamp_must_be_complete(name):
    result = measured()
    if name == 'versions':
        result.provenance[name] = None
    else:
        del result.provenance[name]
    with pytest.raises(UserError, match=f'The result has no {name}; use a result of mmspd test'):
        check_result(result, 'restormer_gopro')


def drop_an_image(result):
    del result.images[-1]


def repeat_an_image(result):
    result.images[1]['key'] = result.images[0]['key']


def change_the_mean(result):
    result.metrics['PSNR'] += 0.001


def change_an_image(result):
    result.images[5]['PSNR'] += 0.01


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (drop_an_image, 'has values of 1110 images instead of 1111'),
        (repeat_an_image, 'has values of 1110 images instead of 1111'),
        (change_the_mean, r'PSNR is 32\.921000, but the mean over the images is 32\.920000; use'),
        (change_an_image, r'PSNR is 32\.920000, but the mean over the images is 32\.92000\d; use'),
        (lambda result: result.metrics.clear(), 'The result has no PSNR'),
    ],
)
def test_the_images_must_agree_with_the_means(change, sentence):
    result = measured()
    change(result)
    with pytest.raises(UserError, match=sentence):
        check_result(result, 'restormer_gopro')


@pytest.mark.slow
def test_contributed_results_fill_the_tables(tmp_path):
    save(measured(32.93), tmp_path / 'official' / 'gopro' / 'restormer_gopro.json')
    save(trained('unet_sp_gopro', 31.04), tmp_path / 'recipes' / 'gopro' / 'unet_sp_gopro.json')
    save(trained('net3', 30.77), tmp_path / 'recipes' / 'gopro' / 'net3.json')
    published = published_table_markdown(read_all(tmp_path / 'official', True), tmp_path / 'page')
    link = r'\[32\.93\]\(\.\./official/gopro/restormer_gopro\.json\)'
    assert re.search(
        rf'`restormer_gopro` +\| +`restormer_gopro` \| +GoPro \| +32\.92 \| +{link} \|', published
    )
    scores = [score for each in CATALOG for score in each.scores if score.dataset in TEST_SETS]
    assert published.count('not measured yet') == len(scores) - 1
    recipes = ['unet_sp_gopro', 'net3']
    paper = paper_tables_markdown(recipes, read_all(tmp_path / 'recipes', False), tmp_path)
    link = r'\[31\.04\]\(recipes/gopro/unet_sp_gopro\.json\)'
    assert re.search(
        rf'\| UNet\+SP +\| +GoPro \| .* 31\.06 \| .* `unet_sp_gopro` \| +{link} \|', paper
    )
    assert re.search(rf'\| Ours-UNet\+SP +\| .* `unet_sp_gopro` \| +{link} \|', paper)
    assert re.search(
        r'\| Net3 +\| .* `net3` \| +\[30\.7700\]\(recipes/gopro/net3\.json\) \|', paper
    )
    assert re.search(r'\| SAPHN +\| .* quoted \| +- \|', paper)


def test_a_bad_contribution_is_named(tmp_path):
    save(measured(), tmp_path / 'a' / 'restormer_gopro.json')
    save(measured(), tmp_path / 'b' / 'restormer_gopro.json')
    with pytest.raises(UserError, match='both results of restormer_gopro on GoPro; keep one'):
        read_all(tmp_path, published=True)
    save(measured(30.0), tmp_path / 'a' / 'restormer_gopro.json')
    with pytest.raises(UserError, match=r"'\S+/a/restormer_gopro\.json' is refused: restormer_gop"):
        read_all(tmp_path, published=True)
    save(trained('unet_gopro', 30.0), tmp_path / 'c' / 'mine.json')
    with pytest.raises(UserError, match=r"mine\.json' is refused: There is no recipe 'mine'; use"):
        read_all(tmp_path / 'c', published=False)


@pytest.mark.slow
def test_the_tool_compares_with_the_published_number(call_tool, tmp_path):
    measured().save(tmp_path / 'good')
    code, output, error = call_tool(
        'analysis/compare.py', tmp_path / 'good', '--published', 'official'
    )
    assert code == 0, error
    assert re.search(r'restormer_gopro on GoPro \| +measured \| +published \| +difference', output)
    assert re.search(r'PSNR +\| +32\.9200 \| +32\.9200 \| +\+0\.0000', output)
    assert 'agrees with the published one within 0.02 dB.' in output
    measured(32.5).save(tmp_path / 'bad')
    for options, expected, sentence in (
        (('bad', '--published', 'restormer_gopro'), 1, 'restormer_gopro has 32.5000 dB on GoPro'),
        (('good', '--published', 'restormer'), 2, "There are no weights named 'restormer'"),
        (
            ('good', 'bad', '--published', 'official'),
            2,
            '--published takes one result and no --out',
        ),
    ):
        arguments = [tmp_path / each if each in ('good', 'bad') else each for each in options]
        code, _, error = call_tool('analysis/compare.py', *arguments)
        assert (code, sentence in error) == (expected, True), error
