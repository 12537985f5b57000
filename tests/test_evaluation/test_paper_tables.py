import re
from pathlib import Path

import pytest

from mmspd.errors import UserError
from mmspd.evaluation.paper_tables import (
    NOTES,
    Measured,
    beside_paper,
    paper_baseline,
    paper_dataset,
    paper_notes,
    paper_row,
    paper_table,
    paper_value,
    table_with,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'
ROWS = [row for number in (1, 2, 3, 4) for row in paper_table(number)]

#: The names of the recipes in the results of configs/spd/README.md.
README_NAMES = {
    'UNet': 'unet',
    'DeepDeblur, 6 blocks': 'deepdeblur6',
    'DMPHN; the paper lists its four-fold stacked variant': 'dmphn',
    'MPRNet, stage 1': 'mprnet-s1',
    'MIMO-UNet': 'mimounet',
    'MIMO-UNet+': 'mimounetplus',
    'MSSNet': 'mssnet',
}
MEASURED = Measured('mine', 'unet_sp_gopro', 'gopro', {'PSNR': 31.0212, 'SSIM-matlab': 0.94123})


def readme_rows(title):
    """The cells of the README's tables between a title and the next, by recipe."""
    section = (CONFIGS / 'README.md').read_text().partition(f'## {title}')[2].partition('\n## ')[0]
    for line in re.findall(r'^\| (.*) \|$', section, re.M):
        name, *cells = line.split(' | ')
        plain, prior, _ = name.partition(' + SP')
        recipe = README_NAMES.get(plain, re.sub(r'`(.*)\.py`', r'\1', plain))
        yield recipe + ('_sp' if prior else ''), cells


def test_the_readme_shows_the_numbers_of_the_tables():
    seen = []
    for recipe, cells in readme_rows('Results'):
        row = paper_row(recipe, 'gopro')
        if '/' in cells[0]:  # Table 2
            rows = [paper_row(recipe, name) for name in ('hide', 'realblur-j')]
            assert cells[:2] == [f'{row.psnr:.2f} / {row.ssim:.3f}' for row in rows]
            seen += rows
        elif row is not None:
            assert cells[:3] == [f'{row.psnr:.2f}', f'{row.ssim:.3f}', f'{row.lpips:.3f}']
            seen.append(row)
    # DMPHN on HIDE is the one number of a recipe that the README leaves out
    wanted = [row for row in ROWS if row.recipe and row.table in (1, 2)]
    assert {row.method for row in set(wanted) - set(seen)} == {'DMPHN'}


def test_the_readme_shows_the_ablation():
    rows = {recipe: cells for recipe, cells in readme_rows('Ablation') if recipe.startswith('net')}
    assert len(rows) == len(paper_table(4)) == 8
    for recipe, cells in rows.items():
        row = paper_row(recipe, 'gopro')
        numbers = [f'{row.psnr:.4f}', f'{row.lpips:.4f}'] if row.psnr else ['unstable'] * 2
        assert cells[4:6] == numbers


def test_the_gains_are_those_that_the_paper_prints():
    gains = {
        row.method: round(row.psnr - paper_baseline(row).psnr, 2)
        for row in paper_table(3)
        if row.baseline
    }
    assert list(gains.values()) == [0.12, 0.42, 0.63, 0.57, 0.77, 0.98, 0.17, 0.24]


def test_every_row_of_a_recipe_has_its_config_and_is_found_by_it():
    keys = [(row.recipe, row.dataset) for row in ROWS if row.recipe]
    assert len(keys) == len(set(keys))
    for row in ROWS:
        assert set(row.notes) <= set(NOTES)
        assert (row.baseline is None) == (paper_baseline(row) is None)
        if row.recipe is None:
            continue
        name = 'realblur-j' if row.dataset == 'realblur-j' else 'gopro'
        ablation = row.recipe.startswith('net')
        file = f'ablation/{row.recipe}.py' if ablation else f'{row.recipe}_{name}.py'
        assert (CONFIGS / file).is_file()
        assert paper_row(str(CONFIGS / file), row.dataset) == row


def test_the_papers_form_of_a_recipe_has_its_row():
    assert paper_row('unet_sp-paper_gopro', 'hide') == paper_row('unet_sp_gopro', 'hide')


def test_a_config_that_trains_on_other_data_has_no_row():
    assert paper_row('unet_gopro', 'hide').psnr == 27.92
    assert paper_row('unet_gopro', 'realblur-j') is None
    assert paper_row('unet_realblur-j', 'gopro') is None
    assert paper_row('nafnet_gopro', 'gopro') is None


@pytest.mark.parametrize(
    ('change', 'name'),
    [
        ({}, 'gopro'),
        ({'blur_key': 'blur_gamma'}, None),
        ({'images': 1110}, None),
        ({'split': 'train'}, None),
        ({'type': 'PairedFolderDataset'}, None),
        ({'type': 'mmspd.HIDEDataset', 'images': 2025}, 'hide'),
        ({'type': 'RealBlurDataset', 'subset': 'J', 'images': 980}, 'realblur-j'),
        ({'type': 'RealBlurDataset', 'subset': 'R', 'images': 980}, None),
    ],
)
def test_only_the_whole_test_set_is_the_papers(change, name):
    provenance = {'type': 'mmspd.GoProDataset', 'split': 'test', 'blur_key': 'blur', 'images': 1111}
    assert paper_dataset({**provenance, **change}) == name


def test_each_metric_finds_the_number_it_can_be_compared_with():
    unet, deepdeblur = paper_row('unet', 'gopro'), paper_row('deepdeblur6', 'gopro')
    metrics = ('PSNR', 'PSNR-input', 'SSIM-2d', 'SSIM-matlab', 'LPIPS-alex-v0.1')
    assert [paper_value(unet, name) for name in metrics] == [30.29, None, None, 0.939, 0.085]
    assert [paper_value(deepdeblur, name) for name in metrics] == [27.28, None, 0.832, None, 0.247]
    assert NOTES['ssim-mixed'] in paper_notes([paper_row('mimounetplus', 'hide')])
    assert NOTES['realblur'] in paper_notes([paper_row('unet', 'realblur-j')])
    assert NOTES['ssim'] not in paper_notes([paper_row('net3', 'gopro')])


def test_a_result_is_printed_beside_its_row():
    text = beside_paper(MEASURED)
    assert re.search(r'UNet\+SP on GoPro .*Table 1 \| +mine \| +paper \| +difference', text)
    assert re.search(r'PSNR +\| +31\.02 \| +31\.06 \| +-0\.04', text)
    assert re.search(r'SSIM-matlab +\| +0\.9412 \| +0\.9460 \| +-0\.0048', text)
    assert NOTES['ssim'] in text
    assert beside_paper(MEASURED._replace(config='nafnet_gopro')) is None
    assert beside_paper(MEASURED._replace(metrics={'PSNR': None, 'NIQE': 5.0})) is None


def test_results_are_put_into_the_papers_table():
    other = MEASURED._replace(label='other', config='nafnet_sp_gopro')
    lines = table_with(1, [other, MEASURED]).splitlines()
    names = [line.split('|')[1].strip() for line in lines if line.startswith('|')]
    assert names[names.index('UNet+SP') + 1] == '> mine'
    assert names[-2:] == ['MSSNet+SP', '> other']
    mine = next(line for line in lines if '> mine' in line)
    assert '31.02' in mine
    assert '0.941' in mine
    assert '> mine' not in table_with(1, [MEASURED._replace(dataset='hide')])
    assert '| Net0* ' in table_with(4, [])
    with pytest.raises(UserError, match='1 to 4, not 5'):
        table_with(5, [])
