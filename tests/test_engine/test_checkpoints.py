"""The choice of the checkpoint to resume from, and damaged checkpoints."""

import os
import random
import re
import struct
import zipfile

import pytest
import torch
from support import equal

from mmspd.engine import load_local
from mmspd.engine.checkpoints import find_resumable
from mmspd.errors import UserError


def content(number):
    """Return the content of a small checkpoint: one layer, and Adam after one step."""
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return dict(
        meta=dict(epoch=number, iter=3 * number),
        state_dict=layer.state_dict(),
        optimizer=optimizer.state_dict(),
        param_schedulers=[dict(last_step=3 * number)],
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    )


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints, the first of which is the newest file, as after a copy."""
    for age, number in enumerate((1, 10, 9)):
        torch.save(content(number), tmp_path / f'epoch_{number}.pth')
        moment = 1000000000 - 100 * age
        os.utime(tmp_path / f'epoch_{number}.pth', (moment, moment))
    return tmp_path


def test_the_number_decides_and_a_contradicting_time_is_reported(folder):
    warnings = []
    assert find_resumable(folder, warn=warnings.append) == str(folder / 'epoch_10.pth')
    assert warnings == [
        'epoch_1.pth was written after epoch_10.pth, but the run continues from epoch_10.pth, '
        'because its number is higher.'
    ]
    os.utime(folder / 'epoch_10.pth', (1000000001, 1000000001))
    assert find_resumable(folder, warn=warnings.append) == str(folder / 'epoch_10.pth')
    assert len(warnings) == 1


def test_names_without_a_number_are_ignored(folder):
    for name in ('epoch_11-a1b2c3d4.pth', 'epoch_last.pth', 'best_PSNR_epoch_12.pth', 'epoch_13'):
        (folder / name).write_bytes(b'')
    assert find_resumable(folder) == str(folder / 'epoch_10.pth')
    (folder / 'epoch_10.pth').rename(folder / 'step-0007[a].pth')
    assert find_resumable(folder, 'step-{:04d}[a].pth') == str(folder / 'step-0007[a].pth')


def with_score(value):
    """Return a function that sets the best score in a checkpoint."""

    def edit(path):
        content = torch.load(path, weights_only=False)
        content['message_hub']['runtime_info']['best_score'] = value
        torch.save(content, path)

    return edit


def without(*keys):
    """Return a function that saves a checkpoint without one of its values."""

    def save(path):
        part = whole = content(10)
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]
        torch.save(whole, path)

    return save


def counting(**counts):
    """Return a function that changes the counts of a checkpoint."""

    def save(path):
        whole = content(10)
        whole['meta'].update(counts)
        torch.save(whole, path)

    return save


def rename_part(path):
    """Save a checkpoint whose parts have unexpected names."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, 'w') as new:
        for name, data in parts.items():
            new.writestr(name.replace('data.pkl', 'other.pkl'), data)


def damage_weight(path):
    """Flip a bit of the weights."""
    weight = load_local(str(path), 'cpu')['state_dict']['weight'].numpy().tobytes()
    data = bytearray(path.read_bytes())
    data[data.index(weight) + 1] ^= 1
    path.write_bytes(data)


def save_hostile(path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / 'marker'),)

    torch.save(Hostile(), path)


def replaced_by(make):
    def damage(path):
        path.unlink()
        make(path)

    return damage


DAMAGES = {
    'truncated': (lambda path: os.truncate(path, 1000), 'its archive is damaged: .*'),
    'half': (
        lambda path: os.truncate(path, path.stat().st_size - 10),
        'its archive is damaged: .*',
    ),
    'flipped bit': (damage_weight, r"its part 'epoch_10/data/\d' is damaged"),
    'empty': (lambda path: path.write_bytes(b''), 'its archive is damaged: .*'),
    'dangling link': (
        replaced_by(lambda path: path.symlink_to(path.with_name('none'))),
        'it is a link to a missing file',
    ),
    'link to itself': (
        replaced_by(lambda path: path.symlink_to(path)),
        'it is a link to a missing file',
    ),
    'folder': (replaced_by(lambda path: path.mkdir()), 'it is a folder'),
    'pipe': (replaced_by(os.mkfifo), 'it is not a file'),
    'other archive': (rename_part, 'it is not a PyTorch file'),
    'hostile': (save_hostile, 'it is damaged, or not a checkpoint'),
    'no dict': (lambda path: torch.save([1], path), 'it is damaged, or not a checkpoint'),
    **{
        name: (counting(**counts), 'its counts meta.epoch and meta.iter are not possible')
        for name, counts in (
            ('endless schedule', dict(iter=10**15)),
            ('finished', dict(epoch=10**30)),
            ('negative', dict(epoch=-1)),
        )
    },
    'no optimizer': (without('optimizer'), 'it has no optimizer'),
    'no optimizer state': (without('optimizer', 'state'), 'it has no state of the optimizer'),
    'no weights': (without('state_dict'), 'it has no state_dict'),
    'no log': (without('message_hub'), 'it has no message_hub'),
    'no run info': (without('message_hub', 'runtime_info'), 'it has no message_hub.runtime_info'),
    'no best score': (with_score('abc'), 'its best_score is not valid'),
    'no epoch': (without('meta', 'epoch'), 'it has no meta.epoch'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_is_skipped_with_a_sentence(folder, damage):
    break_file, reason = DAMAGES[damage]
    newest, warnings = folder / 'epoch_10.pth', []
    break_file(newest)
    assert find_resumable(folder, warn=warnings.append) == str(folder / 'epoch_9.pth')
    sentence = (
        rf'The checkpoint {newest} cannot be read \({reason}\), so the previous one is tried.'
    )
    assert len([text for text in warnings if re.fullmatch(sentence, text)]) == 1, warnings
    assert not (folder / 'marker').exists()


def test_the_check_of_the_caller_skips_a_checkpoint(folder):
    def fault(checkpoint):
        return 'too late' if checkpoint['meta']['epoch'] > 9 else None

    assert find_resumable(folder, check=fault) == str(folder / 'epoch_9.pth')


def test_fails_if_no_checkpoint_is_readable(folder):
    for path in folder.glob('*.pth'):
        path.write_bytes(b'PK')
    with pytest.raises(
        UserError, match=r'None of the 3 checkpoints in .* \(epoch_10.pth: its arch'
    ):
        find_resumable(folder)


def test_no_checkpoint_and_no_folder(tmp_path):
    torch.save({}, tmp_path / 'best_PSNR_epoch_1.pth')
    assert find_resumable(tmp_path) is None
    assert find_resumable(tmp_path / 'missing') is None


def header_bytes(path):
    """Return the positions of all bytes of a zip file that are not data of its parts."""
    whole = path.read_bytes()
    positions = set(range(len(whole)))
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            name, extra = struct.unpack_from('<HH', whole, part.header_offset + 26)
            start = part.header_offset + 30 + name + extra
            positions -= set(range(start, start + part.file_size))
            # PyTorch fills the extra field so that the data is aligned
            positions -= set(range(start - extra, start))
    return sorted(positions)


@pytest.mark.slow
def test_no_flipped_bit_is_resumed_with_other_values(tmp_path):
    """500 flips, half of them in the headers of the archive."""
    path, dice = tmp_path / 'epoch_2.pth', random.Random(0)
    torch.save(content(2), path)
    whole, expected, headers = path.read_bytes(), load_local(str(path), 'cpu'), header_bytes(path)
    resumed, messages = 0, []
    for flip in range(500):
        position = dice.choice(headers) if flip % 2 else dice.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            found = find_resumable(tmp_path)
        except UserError as error:
            messages.append(str(error))
        else:
            assert equal(load_local(found, 'cpu'), expected), position
            resumed += 1
    sentence = re.compile(r'None of the 1 checkpoints in [ -~]+; [ -~]+\.')
    assert all(map(sentence.fullmatch, messages))
    assert resumed > 50
    assert len(messages) > 50
