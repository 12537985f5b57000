import re
from pathlib import Path

import pytest

from mmspd.errors import UserError
from mmspd.evaluation import NIQE, PSNR, SSIM, Result
from mmspd.evaluation.paper_tables import (
    DATASETS,
    NOTES,
    beside_paper,
    paper_baseline,
    paper_dataset,
    paper_notes,
    paper_row,
    paper_seconds,
    paper_table,
    paper_value,
    table_with,
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'spd'
ROWS = [row for number in (1, 2, 3, 4) for row in paper_table(number)]

GOPRO = dict(type='GoProDataset', split='test', blur_key='blur', is_official_set=True)
INFO = {**PSNR.info, **SSIM('matlab').info, **NIQE.info}


def measured(config='unet_sp_gopro', dataset=GOPRO, **metrics):
    """Make a result, by default of UNet+SP on GoPro."""
    provenance = dict(config=dict(recipe=config), dataset=dataset)
    return Result(provenance, metrics or {'PSNR': 31.0212, 'SSIM-matlab': 0.94123}, INFO, [])


def readme_rows(title):
    """Yield the first cell and the other cells of each row of the tables below a title."""
    section = (CONFIGS / 'README.md').read_text().partition(f'## {title}')[2].partition('\n## ')[0]
    for line in re.findall(r'^\| (.*) \|$', section, re.M):
        name, *cells = map(str.strip, line.split(' | '))
        yield re.sub(r'`(.*)\.py`', r'\1', name), cells


def test_the_readme_shows_all_rows_of_the_tables():
    text = (CONFIGS / 'README.md').read_text()
    for number, count in ((1, 17), (2, 16), (3, 16), (4, 8)):
        section = text.partition(f'### Table {number}: ')[2].partition('\n#')[0]
        shown = [[cell.strip() for cell in line.split('|')] for line in section.splitlines()]
        shown = [cells[1:-1] for cells in shown if len(cells) > 2][2:]
        assert len(shown) == len(paper_table(number)) == count
        for row, cells in zip(paper_table(number), shown):
            assert cells[:2] == [row.method, DATASETS[row.dataset]]
            numbers = [f'{row.psnr:.{4 if number == 4 else 2}f}'] if row.psnr else []
            numbers += [f'{row.ssim:.3f}'] if row.ssim else []
            numbers += [f'{row.lpips:.{4 if number == 4 else 3}f}'] if row.lpips else []
            numbers += [f'{row.time:.3f}'] if row.time else []
            assert [cell for cell in cells[2:] if re.fullmatch(r'\d+\.\d+', cell)] == numbers
            if row.recipe:
                assert re.fullmatch(rf'`{row.recipe}(_gopro|_realblur-j)?`', cells[-2])
                assert cells[-1] != '-'
            else:
                assert cells[-2] == ('quoted' if 'quoted' in row.notes else '-')
                assert cells[-1] == '-'


def test_only_two_systems_are_quoted():
    quoted = {row.method for row in ROWS if 'quoted' in row.notes}
    assert quoted == {'SAPHN', 'Niu et al.'}
    assert NOTES['quoted'] in table_with(1, {})
    assert all(row.recipe is None for row in ROWS if row.method in quoted)


def test_the_readme_shows_the_ablation():
    rows = {recipe: cells for recipe, cells in readme_rows('Ablation') if recipe.startswith('net')}
    assert len(rows) == len(paper_table(4)) == 8
    for recipe, cells in rows.items():
        row = paper_row(recipe, 'gopro')
        numbers = [f'{row.psnr:.4f}', f'{row.lpips:.4f}'] if row.psnr else ['unstable'] * 2
        assert cells[4:6] == numbers


def test_the_readme_shows_the_modules_of_table_3():
    shown = set()
    for name, cells in readme_rows('Modules of other restorers'):
        if name.startswith('table3/'):
            recipe = name[len('table3/') :]
            shown.add(recipe)
            row = paper_row(recipe, 'gopro')
            assert cells[-1] == (f'{row.psnr:.2f}' if row else '-')
    assert shown == {path.stem for path in (CONFIGS / 'table3').glob('*.py')}


def test_the_gains_equal_the_printed_ones():
    gains = {
        row.method: round(row.psnr - paper_baseline(row).psnr, 2)
        for row in paper_table(3)
        if row.baseline
    }
    assert list(gains.values()) == [0.12, 0.42, 0.63, 0.57, 0.77, 0.98, 0.17, 0.24]


def test_every_row_with_a_recipe_has_a_config_and_is_found_by_it():
    keys = [(row.recipe, row.dataset, row.table) for row in ROWS if row.recipe]
    assert len(keys) == len(set(keys))
    for row in ROWS:
        assert set(row.notes) <= set(NOTES)
        assert (row.baseline is None) == (paper_baseline(row) is None)
        if row.recipe is None:
            continue
        name = 'realblur-j' if row.dataset == 'realblur-j' else 'gopro'
        stem = row.recipe if row.recipe.startswith('net') else f'{row.recipe}_{name}'
        (file,) = CONFIGS.rglob(f'{stem}.py')
        assert paper_row(str(file), row.dataset, row.table) == row
        first = paper_row(str(file), row.dataset)
        assert first.table == min(table for *key, table in keys if key == [row.recipe, row.dataset])


def test_the_modules_of_table_3_have_recipes():
    rows = {row.method: row for row in paper_table(3) if 'theirs' in row.notes}
    recipes = {
        'MPRNet': 'mprnet-baseline',
        'MPRNet+SAM+CSFF': 'mprnet-sam-csff',
        'MIMOUNet': 'mimounet-baseline',
        'MIMOUNet+MIMO+AFF+MSFR': 'mimounet-aff-mimo-msfr',
    }
    assert {name: rows[name].recipe for name in recipes} == recipes
    assert NOTES['theirs'] in paper_notes([rows['MPRNet']])
    # the published MPRNet is much better than the row of Table 3, so it has no row
    assert paper_row('mprnet_gopro', 'gopro') is None
    assert paper_row('mimounet_gopro', 'gopro').table == 1


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
        ({'is_official_set': False}, None),
        ({'split': 'train'}, None),
        ({'type': 'PairedFolderDataset'}, None),
        ({'type': 'HIDEDataset'}, 'hide'),
        ({'type': 'RealBlurDataset', 'subset': 'J'}, 'realblur-j'),
        ({'type': 'RealBlurDataset', 'subset': 'R'}, None),
    ],
)
def test_only_the_whole_test_set_is_the_papers(change, name):
    assert paper_dataset({**GOPRO, **change}) == name


def test_the_times_of_a_restorer_without_and_with_the_prior():
    assert paper_seconds('mprnet-s1') == (0.031, 0.105)
    assert paper_seconds('dmphn') is None  # the paper has no DMPHN with the prior
    assert paper_seconds('nafnet') is None


def test_each_metric_has_the_right_value_of_the_paper():
    unet, deepdeblur = paper_row('unet', 'gopro'), paper_row('deepdeblur6', 'gopro')
    metrics = ('PSNR', 'PSNR-input', 'SSIM-2d', 'SSIM-matlab', 'LPIPS-alex-v0.1')
    assert [paper_value(unet, name) for name in metrics] == [30.29, None, None, 0.939, 0.085]
    assert [paper_value(deepdeblur, name) for name in metrics] == [27.28, None, 0.832, None, 0.247]
    assert NOTES['ssim-mixed'] in paper_notes([paper_row('mimounetplus', 'hide')])
    assert NOTES['realblur'] in paper_notes([paper_row('unet', 'realblur-j')])
    assert NOTES['ssim'] not in paper_notes([paper_row('net3', 'gopro')])


def test_a_result_is_printed_beside_its_row():
    text = beside_paper(measured())
    assert re.search(r'UNet\+SP on GoPro .*Table 1 \| +measured \| +paper \| +difference', text)
    assert re.search(r'PSNR +\| +31\.02 \| +31\.06 \| +-0\.04', text)
    assert re.search(r'SSIM-matlab +\| +0\.9412 \| +0\.9460 \| +-0\.0048', text)
    assert NOTES['ssim'] in text
    assert beside_paper(measured('nafnet_gopro')) is None
    assert beside_paper(measured(PSNR=None, NIQE=5.0)) is None
    foreign = measured(PSNR=31.0)
    foreign.metric_info = {}
    assert beside_paper(foreign) is None


def test_results_are_put_into_the_papers_table():
    text = table_with(1, {'other': measured('nafnet_sp_gopro'), 'mine': measured()})
    lines = text.splitlines()
    names = [line.split('|')[1].strip() for line in lines if line.startswith('|')]
    assert names[names.index('UNet+SP') + 1] == '> mine'
    assert names[-2:] == ['MSSNet+SP', '> other']
    mine = next(line for line in lines if '> mine' in line)
    assert '31.02' in mine
    assert '0.941' in mine
    assert 'Not in this table' not in text
    theirs = table_with(3, {'mine': measured('mimounet-baseline_gopro')}).splitlines()
    place = next(number for number, line in enumerate(theirs) if line.startswith('| > mine '))
    assert theirs[place - 1].startswith('| MIMOUNet ')
    hide = table_with(1, {'mine': measured(dataset={**GOPRO, 'type': 'HIDEDataset'})})
    assert '> mine' not in hide
    assert '* Not in this table (other or incomplete test sets): mine.' in hide
    assert '| Net0* ' in table_with(4, {})
    lines = table_with(3, {'mine': measured()}).splitlines()
    names = [line.split('|')[1].strip() for line in lines if line.startswith('|')]
    assert names[names.index('Ours-UNet+SP') + 1] == '> mine'
    with pytest.raises(UserError, match='no table 5 of results; use 1, 2, 3 or 4'):
        table_with(5, {})


def test_the_readme_names_every_system_of_tables_1_and_2():
    text = ' '.join((CONFIGS.parents[1] / 'README.md').read_text().split())
    restorers = text[text.index('**Restorers**') : text.index('- **Prior**')]
    for row in (*paper_table(1), *paper_table(2)):
        name = row.method.removesuffix('+SP').replace('MIMOUNetPlus', 'MIMO-UNet+')
        assert name.replace('MIMOUNet+', 'MIMO-UNet+') in restorers
    with_restorer, quoted = restorers.split('also have')
    for name in ('SAPHN', 'Niu et al.'):
        assert name not in with_restorer
        assert name in quoted
