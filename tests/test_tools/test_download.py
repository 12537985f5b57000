"""Data sets are downloaded where this is allowed; otherwise the steps are printed."""

import zipfile

import pytest

from mmspd.datasets.sources import SOURCES
from mmspd.weights.addresses import parse_address

TOOL = 'dataset_converters/download.py'
STEPS = """\
The authors of HIDE offer no automatic download. Do these steps:
1. Read the conditions of the authors: https://github.com/joanshen0508/HA_deblur (license: none \
stated; ask the authors before you use the data for other than research).
2. Download HIDE_dataset.zip: https://www.dropbox.com/s/04w3wqxcuin9dy8/HIDE_dataset.zip.
3. Unpack the archive:
       mmspd data download hide --archive HIDE_dataset.zip --out 'my hide'
   This gives the layout that the recipes read, in my hide:
       train/*.png
       test/test-close-ups/*.png
       test/test-long-shot/*.png
       GT/*.png
4. Check the data:
       mmspd check 'my hide' --workers 8
5. Name the folder:
       export HIDE_ROOT='my hide'
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    for source in SOURCES.values():
        monkeypatch.delenv(source.variable, raising=False)
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / 'GOPRO_Large.zip'
    with zipfile.ZipFile(path, 'w') as file:
        for split in ('train', 'test'):
            for part in ('blur', 'sharp'):
                file.writestr(f'{split}/GOPR0000_00_00/{part}/000001.png', b'image')
    return path


def test_steps(call_tool, tmp_path):
    assert call_tool(TOOL, 'hide', '--out', 'my hide') == (0, STEPS, '')
    assert sorted(path.name for path in tmp_path.iterdir()) == []


def test_steps_for_the_default_folder_name_no_folder(call_tool):
    _, text, _ = call_tool(TOOL, 'realblur')
    assert '   mmspd data download realblur --archive RealBlur.tar.gz\n' in text
    assert text.endswith('4. Check the data:\n       mmspd check data/RealBlur --workers 8\n')


def test_download(call_tool, archive, monkeypatch, tmp_path):
    source = SOURCES['gopro']._replace(address=archive.as_uri())
    monkeypatch.setitem(SOURCES, 'gopro', source)
    code, text, errors = call_tool(TOOL, 'gopro')
    assert (code, errors) == (0, '')
    assert text.startswith('GOPRO_Large has the license CC BY 4.0; see https://seungjunnah.git')
    assert "\n4 files of GOPRO_Large are in 'data/GOPRO_Large'. Next:\n" in text
    assert text.endswith('1. Check the data:\n       mmspd check data/GOPRO_Large --workers 8\n')
    assert len(list((tmp_path / 'data' / 'GOPRO_Large').glob('*/*/*/*.png'))) == 4
    assert list((tmp_path / 'cache').rglob('*.zip')) == []  # the archive is deleted

    code, _, errors = call_tool(TOOL, 'gopro')
    assert code == 1
    assert errors == (
        "error: 'data/GOPRO_Large' is not empty; give another folder, or remove this one.\n"
    )


def test_content_with_another_digest_is_refused(call_tool, archive, monkeypatch, tmp_path):
    source = SOURCES['gopro']._replace(address=f'{archive.as_uri()}#sha256={"0" * 64}')
    monkeypatch.setitem(SOURCES, 'gopro', source)
    code, _, errors = call_tool(TOOL, 'gopro')
    assert code == 1
    assert f'but {"0" * 64} is expected' in errors
    assert not (tmp_path / 'data').exists()


def test_own_archive_goes_to_the_folder_of_the_variable(call_tool, archive, monkeypatch, tmp_path):
    monkeypatch.setenv('GOPRO_ROOT', str(tmp_path / 'mine'))
    code, text, _ = call_tool(TOOL, 'gopro', '--archive', archive)
    assert code == 0
    assert 'export' not in text
    assert (tmp_path / 'mine' / 'train' / 'GOPR0000_00_00').is_dir()
    assert archive.is_file()
    code, _, errors = call_tool(TOOL, 'hide', '--archive', archive)
    assert code == 1
    assert 'has test, train, but train, test, GT are expected' in errors


def test_no_network_is_one_sentence(call_tool, monkeypatch, tmp_path):
    address = (tmp_path / 'gone' / 'GOPRO_Large.zip').as_uri()
    monkeypatch.setitem(SOURCES, 'gopro', SOURCES['gopro']._replace(address=address))
    code, _, errors = call_tool(TOOL, 'gopro')
    assert code == 1
    assert f'download {address} on another machine and run mmspd data download gopro' in errors


def test_automatic_addresses_are_encrypted_and_have_a_digest():
    addresses = [source.address for source in SOURCES.values() if source.address]
    for address in addresses:
        assert address.startswith('https://')
        assert [len(digits) for digits in parse_address(address, 'address').digests] == [64]
    assert len(addresses) == 1
