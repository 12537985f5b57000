import os

import pytest
import torch
from PIL import Image
from samples import photo
from support import load_tool

from mmspd.apis import init_model

tool = load_tool('deblur.py')


@pytest.fixture
def setup(write_config, tmp_path):
    """Config, weights, and a folder with a photo and a file that is not a photo."""
    config = write_config()
    torch.save({'state_dict': init_model(config).state_dict()}, tmp_path / 'epoch_1.pth')
    photos = tmp_path / 'my photos'
    photos.mkdir()
    Image.fromarray(photo()).save(photos / 'ä b.png')
    (photos / 'none.jpg').write_text('no photo')
    return [config, str(tmp_path / 'epoch_1.pth')], photos


def test_it_continues_after_a_bad_file(setup, tmp_path, capsys):
    model, photos = setup
    code = tool.main([*model, str(photos), '--out-dir', str(tmp_path / 'out'), '--device=cpu'])
    output = capsys.readouterr()
    assert code == 1
    assert 'Restored 1 of 2 inputs into' in output.out
    assert '(finished before: 0, failed: 1).' in output.out
    assert 'These inputs could not be restored:' in output.err
    assert "none.jpg' is damaged or not an image of a known kind" in output.err
    assert Image.open(tmp_path / 'out' / 'ä b.png').size == (32, 24)


def test_skipped_files_and_odd_names_are_printed_in_one_line_each(setup, tmp_path, capsys):
    model, photos = setup
    (photos / 'none.jpg').rename(photos / 'two\nlines.jpg')
    for name in ('IMG_1.CR2', 'notes.txt', os.fsdecode(b'\xff.txt')):
        (photos / name).touch()
    code = tool.main([*model, str(photos), '--out-dir', str(tmp_path / 'out'), '--device=cpu'])
    output = capsys.readouterr()
    assert code == 1
    assert output.out.splitlines()[-1] == (
        'Skipped 3 files that are not supported photos or videos: IMG_1.CR2 (raw photo), '
        'notes.txt, \\udcff.txt.'
    )
    assert "two\\nlines.jpg' is damaged" in output.err.splitlines()[-1]


def test_a_second_run_skips_finished_files(setup, tmp_path, capsys):
    model, photos = setup
    (photos / 'none.jpg').unlink()
    command = [*model, str(photos / '*.png'), '--out-dir', str(tmp_path / 'out'), '--suffix=_x']
    options = ['--device=cpu', '--tile=64', '--memory-budget=2G', '--precision=bfloat16']
    assert tool.main(command + options) == 0
    assert (tmp_path / 'out' / 'ä b_x.png').is_file()
    assert tool.main(command + options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('Restored 1 of 1 inputs into')
    assert lines[0].endswith('(finished before: 0, failed: 0).')
    assert lines[-1].startswith('Restored 0 of 1 inputs into')
    assert lines[-1].endswith('(finished before: 1, failed: 0).')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('--tile=big', "'big' is not a tile size; use a number of pixels or auto."),
        ('--tile=-1', "'-1' is not a tile size; use a number of pixels or auto."),
        ('--batch=0', '0 is too small; use 1 or more.'),
        (
            '--memory-budget=much',
            "'much' is not a number of bytes; write, for example, 800M or 4G.",
        ),
    ],
)
def test_wrong_options(capsys, option, message):
    with pytest.raises(SystemExit):
        tool.main(['config', 'weights', 'input', '--out-dir=out', option])
    assert message in capsys.readouterr().err


def test_numbers_of_bytes():
    arguments = ['config', 'weights', 'input', '--out-dir=out', '--memory-budget']
    for text, number in (('4G', 4 * 2**30), ('1.5gb', 1.5 * 2**30), ('800M', 800 * 2**20)):
        assert tool.parse_args([*arguments, text]).memory_budget == number
