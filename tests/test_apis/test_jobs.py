import json

import pytest

from mmspd.apis.jobs import Job, RestoredRecord, find_jobs
from mmspd.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """A folder with photos, a subfolder, and files that must be skipped."""
    root = tmp_path / 'my photos'
    for name in ('b.JPG', 'a.png', 'é ü/c.mp4', '.hidden.png', '.cache/d.png', 'notes.txt'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(jobs, root, out=None):
    return [
        job.source.relative_to(root).as_posix()
        if out is None
        else job.target.relative_to(out).as_posix()
        for job in jobs
    ]


def test_a_folder_and_its_subfolders(photos, tmp_path):
    out = tmp_path / 'out'
    assert names(find_jobs([photos], None), photos) == ['a.png', 'b.JPG']
    jobs = find_jobs([photos], out, recursive=True)
    assert names(jobs, photos) == names(jobs, photos, out) == ['a.png', 'b.JPG', 'é ü/c.mp4']
    jobs = find_jobs([str(photos)], out, '_sharp', recursive=True)
    assert names(jobs, photos, out) == ['a_sharp.png', 'b_sharp.JPG', 'é ü/c_sharp.mp4']


def test_results_inside_the_folder_are_not_inputs(photos):
    out = photos / 'out'
    out.mkdir()
    (out / 'a.png').write_text('a result')
    assert names(find_jobs([photos], out, recursive=True), photos) == [
        'a.png', 'b.JPG', 'é ü/c.mp4'
    ]  # fmt: skip


def test_files_and_patterns(photos, tmp_path):
    jobs = find_jobs([photos / 'a.png', str(photos / '*.JPG'), photos / 'a.png'], tmp_path / 'out')
    assert names(jobs, tmp_path / 'out', tmp_path / 'out') == ['a.png', 'b.JPG']
    deep = find_jobs([str(photos / '**' / '*.mp4')], tmp_path / 'out')
    assert [job.target.name for job in deep] == ['c.mp4']
    # if a file has a name that looks like a pattern, the file is used
    (photos / 'a[1].png').write_text('')
    assert find_jobs([str(photos / 'a[1].png')], None)[0].source.name == 'a[1].png'


def test_nothing_is_overwritten(photos, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'a.png').write_text('')
    message = r"my photos/a.png' and .*other/a.png' would both be written to"
    with pytest.raises(UserError, match=message):
        find_jobs([photos, other], tmp_path / 'out')
    with pytest.raises(UserError, match='is an input and also the output folder'):
        find_jobs([photos], photos / '.', suffix='_sharp')
    with pytest.raises(UserError, match=r"would overwrite the input '.*a.png'"):
        find_jobs([photos / 'a.png'], photos)
    (tmp_path / 'link').symlink_to(photos)
    with pytest.raises(UserError, match=r"would overwrite the input '.*link/a.png'"):
        find_jobs([photos / 'a.png'], tmp_path / 'link')


@pytest.mark.parametrize(
    ('name', 'message'),
    [('none.png', r"none.png' does not exist"), ('*.gif', r"\*.gif' matches no file")],
)
def test_inputs_that_do_not_exist(photos, name, message):
    with pytest.raises(UserError, match=message):
        find_jobs([photos / name], None)


def test_suffixes_that_are_not_allowed(photos, tmp_path):
    with pytest.raises(UserError, match="'a/b' cannot be part of a file name"):
        find_jobs([photos], tmp_path / 'out', suffix='a/b')


def test_folders_without_photos(tmp_path):
    (tmp_path / 'empty').mkdir()
    message = r"empty' has no photo or video \(it has nothing\); choose another folder"
    with pytest.raises(UserError, match=message):
        find_jobs([tmp_path / 'empty'], None, recursive=True)
    with pytest.raises(UserError, match=r'\(it has empty\); search its subfolders'):
        find_jobs([tmp_path], None)


@pytest.fixture
def job(photos, tmp_path):
    """A job that is finished but not recorded."""
    target = tmp_path / 'out' / 'ä b.png'
    target.parent.mkdir()
    target.write_text('restored')
    return Job(photos / 'a.png', target)


def test_finished_jobs_are_known_in_the_next_run(job):
    settings = dict(model='x', tile=0)
    RestoredRecord(job.target.parent, settings).add(job)
    again = RestoredRecord(job.target.parent, settings)
    assert again.is_done(job)
    job.source.write_text('another photo')
    assert not again.is_done(job)
    again.add(job)
    assert again.is_done(job)
    job.target.unlink()
    assert not again.is_done(job)


def test_files_of_other_programs_are_kept(job):
    with pytest.raises(UserError, match=r"b.png' exists and was made by another program"):
        RestoredRecord(job.target.parent, dict(model='x')).is_done(job)


def test_a_record_with_an_incomplete_line(job):
    record = RestoredRecord(job.target.parent, dict(model='x'))
    record.add(job)
    path = job.target.parent / RestoredRecord.NAME
    path.write_text(path.read_text() + '\n{"file": "b.pn')
    again = RestoredRecord(job.target.parent, dict(model='x'))
    assert again.is_done(job)
    second = Job(job.source, job.target.with_name('c.png'))
    second.target.write_text('restored')
    again.add(second)
    assert RestoredRecord(job.target.parent, dict(model='x')).is_done(second)
    assert json.loads(path.read_text().splitlines()[-1])['file'] == 'c.png'


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r"Cannot write to '.*file/out' \(Not a directory\)"):
        RestoredRecord(tmp_path / 'file' / 'out', {})
