from pathlib import Path

import pytest

from mmspd.utils.skipped import kind_of, one_line, skipped_line


@pytest.mark.parametrize(
    ('names', 'kind'),
    [
        ('a.DNG a.cr2 a.CR3 a.nef a.arw a.raf a.orf a.rw2', 'raw photo'),
        ('a.jp2 a.J2K', 'JPEG 2000'),
        ('a.jxl', 'JPEG XL'),
        ('a.heics a.avifs', 'image sequence'),
        ('a.png a.hif a.mts notes.txt cr2', ''),
    ],
)
def test_kinds_that_cannot_be_read(names, kind):
    assert {kind_of(Path(name)) for name in names.split()} == {kind}


def test_one_skipped_file():
    line = skipped_line({Path('notes.txt'): ''}, ['image'])
    assert line == 'Skipped 1 file that is no supported image: notes.txt.'


def test_the_line_is_bounded_and_names_the_reasons_first():
    skipped = {Path(f'{number}{"x" * 200}.txt'): '' for number in range(500)}
    line = skipped_line({**skipped, Path('a\nb.CR2'): 'raw photo'}, ['photo', 'video'])
    start = 'Skipped 501 files that are not supported photos or videos: a\\nb.CR2 (raw photo), 0xx'
    assert line.startswith(start)
    assert line.endswith('xxx.txt, ....')
    assert len(line) < 600
    assert '\n' not in line


def test_names_that_cannot_be_printed():
    assert one_line('a\x1b[31m\udcff\r\nä.png') == 'a\\x1b[31m\\udcff\\r\\nä.png'
