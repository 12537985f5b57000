"""Pairs whose names differ: name templates and lists, in data sets, check and pack."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from blurred_pairs import blurred, texture, write
from samples import mmengine_log
from support import load_tool

from mmspd.datasets import LoadImagePair, PairedFolderDataset, PairListDataset
from mmspd.datasets.image_io import read_rgb
from mmspd.datasets.layouts import recognize
from mmspd.errors import UserError
from mmspd.registry import DATASETS

REPOSITORY = Path(__file__).resolve().parents[2]
SUFFIXED = dict(blur_template='{}_blur', sharp_template='{}_sharp')

check = load_tool('dataset_converters/check.py').main
pack = load_tool('dataset_converters/pack.py').main


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pairs_of(dataset):
    root = Path(dataset.data_root)
    return [
        (pair.key, *(file.relative_to(root).as_posix() for file in (pair.blur, pair.sharp)))
        for pair in dataset.find_pairs()
    ]


@pytest.mark.parametrize(
    ('names', 'options', 'pairs'),
    [
        (
            ['IMG_0_blur.png', 'IMG_0_sharp.png', 'trip/IMG_0_blur.jpg', 'trip/IMG_0_sharp.PNG'],
            dict(blur_dir='', sharp_dir='', **SUFFIXED),
            [
                ('IMG_0', 'IMG_0_blur.png', 'IMG_0_sharp.png'),
                ('trip/IMG_0', 'trip/IMG_0_blur.jpg', 'trip/IMG_0_sharp.PNG'),
            ],
        ),
        (
            ['input/b_1.png', 'target/s_1.png'],
            dict(blur_template='b_{}', sharp_template='s_{}'),
            [('1', 'input/b_1.png', 'target/s_1.png')],
        ),
        (  # the longer template gets the image that fits both
            ['1.png', '1_gt.png', '2.png', '2_gt.png'],
            dict(blur_dir='', sharp_dir='', sharp_template='{}_gt'),
            [('1', '1.png', '1_gt.png'), ('2', '2.png', '2_gt.png')],
        ),
        (  # the deeper folder gets the image that fits both
            ['1.png', 'gt/1.png'],
            dict(blur_dir='', sharp_dir='gt'),
            [('1', '1.png', 'gt/1.png')],
        ),
        (
            ['7/blur.png', '7/sharp.png', 'a/7/blur.png', 'a/7/sharp.png', '7/kernel.png'],
            dict(blur_dir='', sharp_dir='', blur_template='{}/blur', sharp_template='{}/sharp'),
            [('7', '7/blur.png', '7/sharp.png'), ('a/7', 'a/7/blur.png', 'a/7/sharp.png')],
        ),
        (
            ['s1/blur/blur_9.png', 's1/gt/gt_9.png'],
            dict(
                blur_dir='', sharp_dir='', blur_template='blur/blur_{}', sharp_template='gt/gt_{}'
            ),
            [('s1/9', 's1/blur/blur_9.png', 's1/gt/gt_9.png')],
        ),
        (  # only the suffixes differ
            ['1.JPG', '1.png'],
            dict(blur_dir='', sharp_dir='', blur_template='{}.jpg', sharp_template='{}.png'),
            [('1', '1.JPG', '1.png')],
        ),
        (  # characters with a meaning in patterns
            ['a+(1).b.png', 'a+(1)[s].png'],
            dict(blur_dir='', sharp_dir='', blur_template='{}.b', sharp_template='{}[s]'),
            [('a+(1)', 'a+(1).b.png', 'a+(1)[s].png')],
        ),
    ],
)
def test_templates_pair_other_names(tmp_path, names, options, pairs):
    dataset = PairedFolderDataset(str(make(tmp_path, *names)), lazy_init=True, **options)
    assert pairs_of(dataset) == pairs


@pytest.mark.parametrize(
    ('names', 'options', 'message'),
    [
        (
            ['x_blur.png'],
            dict(blur_template='_blur'),
            r"blur_template='_blur' does not contain \{\}",
        ),
        (['x.png'], dict(sharp_template='{}{}'), r"sharp_template='\{\}\{\}' does not contain"),
        (['x.png'], {}, r"x\.png' fits two templates, '\{\}' and '\{\}'; set other"),
        (['x_a.png', 'x_b.png'], SUFFIXED, r"has no image that fits '\{\}_blur' \(it holds x_a"),
        (
            ['1.jpg', '1.png', '1_s.png'],
            dict(sharp_template='{}_s'),
            r"differ only in their suffix; .*such as '\{\}\.(jpg|png)'",
        ),
    ],
)
def test_wrong_templates(tmp_path, names, options, message):
    make(tmp_path, *names)
    with pytest.raises(UserError, match=message):
        PairedFolderDataset(str(tmp_path), '', '', **options)


def test_the_message_about_other_names_advises_templates_and_lists(tmp_path, capsys):
    make(tmp_path, 'input/1_blur.png', 'input/2_blur.png', 'target/1_sharp.png')
    with pytest.raises(UserError) as error:
        PairedFolderDataset(str(tmp_path))
    assert re.match(
        r'3 images .* have no partner \(\S+/1_blur\.png, \S+/2_blur\.png, \S+/1_sharp\.png\); add '
        r'the partners, set blur_template and sharp_template of .*, or list the pairs to use',
        str(error.value),
    )
    assert check([str(tmp_path), '--quick']) == 3
    report = capsys.readouterr().out
    assert 'give --blur-template and --sharp-template to pair other names, or list the p' in report
    for text in (str(error.value), report):
        assert 'remove' not in text
    (tmp_path / 'input' / '2_blur.png').unlink()
    options = dict(lazy_init=True, **SUFFIXED)
    assert [pair.key for pair in PairedFolderDataset(str(tmp_path), **options).find_pairs()] == [
        '1'
    ]


def test_images_that_fit_no_template_are_said(tmp_path, caplog, capsys):
    make(tmp_path, '1_blur.png', '1_sharp.png', '1_out.png', '2_out.png')
    with mmengine_log(caplog):
        PairedFolderDataset(str(tmp_path), '', '', **SUFFIXED)
    assert "2 images fit neither '{}_blur' nor '{}_sharp' and are not used (first " in caplog.text
    flags = ['--blur-template', '{}_blur', '--sharp-template', '{}_sharp']
    check([str(tmp_path), '--quick', *flags])
    note = r'note     \S+: 2 images fit no template and are not used \([12]_out\.png, '
    assert re.search(note, capsys.readouterr().out)


@pytest.fixture
def listed(tmp_path):
    """Two pairs without common names, in a list, and an image that the list does not name."""
    folder = tmp_path / 'data' / 'train'
    make(folder, 'b 1.png', 's/9.png', 'b2.jpg', 'other.png')
    make(tmp_path, 'away/s3.png')
    lines = ['b 1.png\ts/9.png', '', f'b2.jpg {tmp_path}/away/s3.png', '']
    (folder / 'pairs.txt').write_bytes('\r\n'.join(lines).encode('utf-8-sig'))
    return tmp_path / 'data'


def test_a_list_pairs_any_names(listed):
    dataset = PairListDataset(str(listed), split='train')
    samples = [dataset[index] for index in range(len(dataset))]
    folder = listed / 'train'
    assert [(s['key'], s['img_path'], s['gt_path']) for s in samples] == [
        ('b 1', str(folder / 'b 1.png'), str(folder / 's/9.png')),
        ('b2', str(folder / 'b2.jpg'), str(listed.parent / 'away/s3.png')),
    ]
    (part,) = recognize(listed)
    assert (part.layout, part.split) == ('list', 'train')
    # a list at the top replaces the lists of the splits; its keys stay below the folder
    (listed / 'pairs.txt').write_text('../away/s3.png train/b2.jpg')
    (part,) = recognize(listed)
    assert [pair.key for pair in DATASETS.build(part.dataset).find_pairs()] == ['away/s3']


def test_splits_without_a_list_keep_their_layout(tmp_path):
    for split in ('train', 'test'):
        make(tmp_path / split / 'A', 'blur/1.png', 'sharp/1.png', 'sharp/2.png')
    (tmp_path / 'train' / 'pairs.txt').write_text('A/blur/1.png A/sharp/1.png')
    parts = recognize(tmp_path)
    assert [(part.layout, part.split) for part in parts] == [('list', 'train'), ('gopro', 'test')]
    assert [pair.key for pair in DATASETS.build(parts[0].dataset).find_pairs()] == ['A/blur/1']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, r"has no list 'pairs\.txt' \(it holds other\.png\); write a file with a line BLUR"),
        ('\n', 'is empty; write BLURRY SHARP'),
        ('a.png b.png\nb 1.png c.png', r"Line 2 of '.*' does not name two images .*with a tab"),
        ('a.png b.png\na.jpg b.png', "Lines 1 and 2 of '.*' have the same key 'a'"),
        ('other.png b.png', r'1 images of .pairs\.txt. are missing \(first .*b\.png\); correct'),
        (b'\xff\xfe', 'Cannot read the list .*; save it as UTF-8'),
    ],
)
def test_faults_of_lists(tmp_path, text, message):
    make(tmp_path, 'other.png')
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / 'pairs.txt').write_bytes(content)
    with pytest.raises(UserError, match=message):
        PairListDataset(str(tmp_path))


@pytest.fixture
def mixed(tmp_path):
    """Three pairs per split; the two images of a pair are in one folder."""
    root = tmp_path / 'data'
    for number in range(6):
        stem = root / ('train' if number < 3 else 'test') / f'IMG_{number}'
        write(stem.with_name(f'{stem.name}_sharp.png'), texture(number))
        write(stem.with_name(f'{stem.name}_blur.png'), blurred(texture(number)))
    return root


@pytest.mark.parametrize('way', ['templates', 'list'])
def test_check_and_pack_read_the_same_pairs(mixed, tmp_path, capsys, way):
    flags, options, name = [], dict(split='train'), 'list_train'
    if way == 'templates':
        flags = ['--blur-template', '{}_blur', '--sharp-template', '{}_sharp']
        options = dict(blur_dir='', sharp_dir='', split='train', **SUFFIXED)
        name = 'pairs_train_train__blur__sharp'
    else:
        for split in ('train', 'test'):
            names = sorted(path.name for path in (mixed / split).glob('*_blur.png'))
            lines = [f'{name} {name.replace("blur", "sharp")}\n' for name in names]
            (mixed / split / 'pairs.txt').write_text(''.join(lines))
    report = tmp_path / 'report.json'
    arguments = [str(mixed), *flags, '--workers', '0']
    assert check([*arguments, '--crop', '128', '--json', str(report)]) == 0
    assert json.loads(report.read_text())['pairs'] == {'test': 3, 'train': 3}
    pack([str(mixed), str(tmp_path / 'packs'), *flags, '--workers', '0'])
    assert name in {path.name for path in (tmp_path / 'packs').iterdir()}
    kind = PairedFolderDataset if way == 'templates' else PairListDataset
    loaded = [
        kind(str(mixed), **options, packed=packed, pipeline=[LoadImagePair()])
        for packed in ('raw', str(tmp_path / 'packs'))
    ]
    for index in range(3):
        raw, packed = (dataset[index] for dataset in loaded)
        key = f'IMG_{index}' + ('_blur' if way == 'list' else '')
        assert raw['key'] == packed['key'] == key
        for image, ending in (('img', 'blur'), ('gt', 'sharp')):
            expected = read_rgb(mixed / 'train' / f'IMG_{index}_{ending}.png')
            np.testing.assert_array_equal(raw[image], expected)
            np.testing.assert_array_equal(packed[image], expected)
    # the advice for a missing pack packs the same pairs
    with pytest.raises(UserError) as error:
        kind(str(mixed), **options, packed=str(tmp_path / 'absent'))
    advised = ''.join(f" {flag} '{value}'" for flag, value in zip(flags[::2], flags[1::2]))
    assert f'{mixed} {tmp_path / "absent"}{advised}, or set' in str(error.value)


def test_a_missing_image_of_a_list_is_a_finding(mixed, capsys):
    lines = (
        'train/IMG_0_blur.png train/IMG_0_sharp.png\ntrain/IMG_1_blur.png train/IMG_1_sharpp.png'
    )
    (mixed / 'pairs.txt').write_text(lines)
    assert check([str(mixed), '--quick', '--crop', '128']) == 3
    report = capsys.readouterr().out
    assert f"'{mixed}', layout list: data (1 pair)" in report
    assert "IMG_1_sharpp.png, did you mean 'train/IMG_1_sharp.png'?" in report


def test_recipes_take_templates_and_lists(mixed, monkeypatch):
    from mmspd.utils.launch import read_config

    monkeypatch.setenv('PAIRS_ROOT', str(mixed))
    recipe = str(REPOSITORY / 'configs' / 'own_data' / 'mimounet_sp_pairs.py')
    key = 'val_dataloader.dataset'

    def build(options):
        dataset = read_config(recipe, options).val_dataloader.dataset
        return DATASETS.build(dict(dataset, pipeline=[]))

    options = {f'{key}.{name}': value for name, value in SUFFIXED.items()}
    options.update({f'{key}.blur_dir': '', f'{key}.sharp_dir': ''})
    dataset = build(options)
    assert [dataset.get_data_info(index)['key'] for index in range(3)] == [
        'IMG_3',
        'IMG_4',
        'IMG_5',
    ]
    (mixed / 'test' / 'pairs.txt').write_text('IMG_4_blur.png IMG_4_sharp.png')
    dataset = build({f'{key}.type': 'mmspd.PairListDataset'})
    assert [dataset.get_data_info(0)['key'], len(dataset)] == ['IMG_4_blur', 1]
