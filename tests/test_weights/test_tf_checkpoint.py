"""TensorFlow checkpoints and .npz files load without TensorFlow, and other files are refused."""

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tf_files
import torch
from mmengine.config import Config
from tf_files import NONE, SNAPPY, message, shape_message, table, write_checkpoint

from mmspd.apis import init_model
from mmspd.errors import UserError
from mmspd.evaluation import Result
from mmspd.registry import build_model
from mmspd.weights.crc32c import masked_crc32c
from mmspd.weights.files import loaded_weights
from mmspd.weights.loading import read_state
from mmspd.weights.official import load_official
from mmspd.weights.published import recognize

SRN = dict(type='mmspd.SRN', base=2, num_res=1)
PSSNSC = dict(type='mmspd.PSSNSC', base=2, num_res=1)
NAMES = ('g_net/a/weights', 'g_net/b/weights', 'g_net/c/biases')


def network(cfg, seed=0):
    torch.manual_seed(seed)
    return build_model(cfg)


def few(dtype=np.float32):
    rng = np.random.default_rng(0)
    return {name: rng.random((2, 3, 4, 5)).astype(dtype) for name in NAMES}


def equal(restorer, state):
    own = restorer.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[k], v) for k, v in state.items())


def refusal(path, key='IN'):
    with pytest.raises(UserError) as error:
        read_state(str(path), key)
    message = str(error.value)
    assert message.startswith(f'{key}: ')
    assert message.endswith('.')
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize('length', [0, 1, 2, 3, 9, 10, 255, 256, 4097])
def test_checksum(length):
    data = random.Random(0).randbytes(length)
    assert masked_crc32c(data) == tf_files.masked_crc32c(data)


@pytest.mark.parametrize('layout', ['index', 'npz', 'compressed npz'])
@pytest.mark.parametrize(
    ('cfg', 'title'),
    [
        (SRN, 'SRN of another size (variant='),
        (dict(SRN, variant='gray'), 'SRN of another size (variant='),
        (dict(SRN, variant='color'), 'SRN of another size (variant='),
        (PSSNSC, 'PSS-NSC of another size (base=2, num_res=1)'),
    ],
    ids=['lstm', 'gray', 'color', 'pssnsc'],
)
def test_a_training_checkpoint_loads(cfg, title, layout, tmp_path):
    state = network(cfg).state_dict()
    variables = tf_files.with_training(tf_files.to_variables(state))
    if layout == 'index':
        path = write_checkpoint(tmp_path / 'deblur.model-523000', variables)
    else:
        path = tmp_path / 'weights.npz'
        save = np.savez if layout == 'npz' else np.savez_compressed
        save(path, **variables)
    restorer = network(cfg, seed=1)
    assert not equal(restorer, state)
    phrase = load_official(restorer, str(path))
    assert equal(restorer, state)
    assert phrase.startswith(title)
    assert f'from {path} ({len(state)} tensors)' in phrase
    assert recognize(read_state(str(path), 'IN')).cfg == {'variant': 'lstm', **cfg} or cfg is PSSNSC


def test_names_and_layout(tmp_path):
    """A kernel (rows, columns, in, out); a transposed one (rows, columns, out, in)."""
    kernel = np.arange(4 * 4 * 2 * 3, dtype=np.float32).reshape(4, 4, 2, 3)
    variables = {'g_net/d1/conv1/weights': kernel, 'other/biases': kernel[0, 0, 0]}
    state = read_state(str(write_checkpoint(tmp_path / 'a', variables)), 'IN')
    assert list(state) == ['d1.conv1.weight', 'other.bias']
    weight = state['d1.conv1.weight']
    assert weight.shape == (3, 2, 4, 4)
    assert weight.is_contiguous()
    assert weight[2, 1, 3, 0] == kernel[3, 0, 1, 2]
    assert state['other.bias'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('dtype', ['float32', 'float64', 'float16', 'int64', 'int32'])
@pytest.mark.parametrize('options', [dict(), dict(shards=2), dict(checksums=False)])
def test_types_and_data_files(dtype, options, tmp_path):
    variables = few(dtype)
    before = len(loaded_weights())
    state = read_state(str(write_checkpoint(tmp_path / 'a', variables, **options)), 'IN')
    assert [str(value.dtype) for value in state.values()] == [f'torch.{dtype}'] * 3
    np.testing.assert_array_equal(state['b.weight'].permute(2, 3, 1, 0), variables[NAMES[1]])
    read = [entry['path'] for entry in loaded_weights(before)]  # recorded with the results
    assert len(read) == 1 + options.get('shards', 1)
    assert read[0].endswith('a.index')
    assert '.data-00000-of-0000' in read[1]


def changed(**fields):
    """Return a function that writes a checkpoint in which the second variable has other fields."""
    numbers = dict(dtype=1, shape=2, shard=3, offset=4, size=5, crc=6, slices=7)

    def write(prefix):
        change = {numbers[name]: value for name, value in fields.items()}
        return write_checkpoint(prefix, few(), changes={NAMES[1]: lambda _: change})

    return write


def edited(edit):
    """Return a function that writes a checkpoint and edits the bytes of its index."""

    def write(prefix):
        path = write_checkpoint(prefix, few())
        data = bytearray(path.read_bytes())
        path.write_bytes(edit(data) or data)
        return path

    return write


def tabled(*entries, kind=NONE):
    """Return a function that writes a checkpoint whose index has these entries."""

    def write(prefix):
        path = write_checkpoint(prefix, few())
        path.write_bytes(table(list(entries), kind=kind))
        return path

    return write


def flip(place):
    def edit(data):
        data[place] ^= 1

    return edit


HEADER = (b'', tf_files.header())
ENTRY = message((1, 1), (2, shape_message((1,))), (5, 4))
FAULTS = {
    'empty': (edited(lambda data: b'\0'), 'it is not the index of a TensorFlow checkpoint'),
    'cut': (edited(lambda data: data[:-1]), 'it is not the index of a TensorFlow checkpoint'),
    'other format': (edited(flip(-1)), 'it is not the index of a TensorFlow checkpoint'),
    'first block': (edited(flip(3)), 'a checksum differs'),
    'block beyond the file': (
        edited(lambda data: data[:-48] + message((1, 2**40)).ljust(40, b'\0') + data[-8:]),
        'it is truncated or damaged',
    ),
    'compressed': (tabled(HEADER, kind=SNAPPY), 'it is compressed'),
    'no header': (tabled((b'a', ENTRY)), 'it has no header'),
    'no entries': (tabled(), 'it has no header'),
    'big-endian': (
        tabled((b'', tf_files.header(1, (2, 1)))),
        'it was saved on a machine of the other byte order',
    ),
    'no shards': (tabled((b'', tf_files.header(0))), 'it has 0 data files'),
    'shards': (tabled((b'', tf_files.header(2**40))), f'it has {2**40} data files'),
    'order': (tabled(HEADER, (b'b', ENTRY), (b'a', ENTRY)), 'its names are not in order'),
    'twice': (tabled(HEADER, (b'b', ENTRY), (b'b', ENTRY)), 'its names are not in order'),
    'long name': (tabled(HEADER, (b'a' * 301, ENTRY)), 'it has a name that is too long'),
    'escape': (tabled(HEADER, (b'a\x1b[', ENTRY)), 'it has a name that cannot be printed'),
    'no text': (tabled(HEADER, (b'a\xff', ENTRY)), 'it has a name that cannot be printed'),
    'no message': (tabled(HEADER, (b'a', b'\xff' * 11)), 'it is truncated or damaged'),
    'cut message': (tabled(HEADER, (b'a', ENTRY[:3])), 'it is truncated or damaged'),
    'group': (tabled(HEADER, (b'a', b'\x0b')), 'it is truncated or damaged'),
    'text as number': (tabled(HEADER, (b'a', message((1, b'x')))), 'it is truncated or damaged'),
    'number as shape': (tabled(HEADER, (b'a', message((1, 1), (2, 3)))), 'truncated or damaged'),
    'checksum': (changed(crc=1), f'the checksum of its variable {NAMES[1]} differs'),
    'type': (changed(dtype=7), f'its variable {NAMES[1]} has the type number 7 of TensorFlow'),
    'slices': (changed(slices=message()), f'its variable {NAMES[1]} is stored in slices'),
    'size': (changed(size=476), f'its variable {NAMES[1]} has an impossible size or place'),
    'shard': (changed(shard=1), f'its variable {NAMES[1]} has an impossible size or place'),
    'place': (changed(offset=2**62), f'its data file lacks the variable {NAMES[1]}'),
    'same bytes': (
        changed(offset=0, size=1440, shape=shape_message((360,))),
        'it declares more data than its data files contain',
    ),
    'large': (
        changed(size=2**42, shape=shape_message((2**20, 2**20))),
        'it declares more data than its data files contain',
    ),
    'side': (
        changed(size=0, shape=shape_message((2**62, 0))),
        f'its variable {NAMES[1]} has an impossible shape',
    ),
    'sides': (
        changed(shape=shape_message((1,) * 9)),
        f'its variable {NAMES[1]} has an impossible shape',
    ),
    'negative': (
        changed(size=0, shape=shape_message((2**64 - 1,))),
        f'its variable {NAMES[1]} has an impossible shape',
    ),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_damaged_or_hostile_checkpoint_is_refused(fault, tmp_path):
    write, reason = FAULTS[fault]
    path = write(tmp_path / 'a')
    said = refusal(path)
    assert f'{path} cannot be read safely as weights: ' in said
    assert f'{reason}; copy or download all files of the checkpoint again.' in said


def test_no_change_of_a_byte_is_overlooked(tmp_path):
    path = write_checkpoint(tmp_path / 'a', few())
    for file in (path, tmp_path / 'a.data-00000-of-00001'):
        data = file.read_bytes()
        end = len(data) - 48 if file is path else len(data)  # the end of the footer is not used
        for place in random.Random(0).sample(range(end), 60):
            other = bytearray(data)
            other[place] ^= 1 << place % 8
            file.write_bytes(other)
            refusal(path)
        file.write_bytes(data)
    assert len(read_state(str(path), 'IN')) == 3


def test_data_files_that_are_missing_or_short(tmp_path):
    path = write_checkpoint(tmp_path / 'a', few())
    data = tmp_path / 'a.data-00000-of-00001'
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    assert 'it declares more data than its data files contain' in refusal(path)
    data.unlink()
    assert refusal(path) == f'IN: the file {data} does not exist; put it beside a.index.'
    data.write_bytes(content)
    for name in ('a.meta', data.name):
        (tmp_path / name).touch()
        assert refusal(tmp_path / name).endswith(
            f'{name} is only a part of a TensorFlow checkpoint; give its file .index, with the '
            'data file beside it.'
        )


@pytest.mark.parametrize('layout', ['index', 'npz'])
def test_missing_and_unexpected_variables_are_named(layout, tmp_path):
    restorer = network(SRN)
    before = {name: value.clone() for name, value in restorer.state_dict().items()}
    variables = tf_files.to_variables(restorer.state_dict())
    del variables['g_net/dec1_0/biases']
    variables['g_net/dec9/weights'] = variables['other'] = np.ones((1, 1, 1, 1), np.float32)
    if layout == 'index':
        path = write_checkpoint(tmp_path / 'a', variables)
    else:
        path = tmp_path / 'a.npz'
        np.savez(path, **variables)
    with pytest.raises(UserError) as error:
        load_official(restorer, str(path), 'IN')
    assert '1 missing (dec1_0.bias), 2 unexpected (dec9.weight, other); use ' in str(error.value)
    assert equal(restorer, before)


def test_a_checkpoint_of_another_variant_or_restorer_is_refused_by_name(tmp_path):
    variables = tf_files.to_variables(network(PSSNSC).state_dict())
    path = write_checkpoint(tmp_path / 'a', variables)
    for cfg in (SRN, dict(SRN, variant='color')):
        with pytest.raises(UserError, match='because these weights look like PSS-NSC of another'):
            load_official(network(cfg), str(path))
    path = write_checkpoint(tmp_path / 'b', tf_files.to_variables(network(SRN).state_dict()))
    with pytest.raises(
        UserError, match="2 unexpected .convLSTM.*like SRN of another size .variant='lstm'"
    ):
        load_official(network(dict(SRN, variant='gray')), str(path))


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(content, compression=zipfile.ZIP_STORED, name='a.npy'):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy(shape, data=b'', kind='<f4'):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, dict(descr=kind, fortran_order=False, shape=shape))
    return file.getvalue() + data


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'PK\x03\x04',
        npz(a=np.ones(3))[:-30],
        npz(a=np.array([{}], dtype=object)),
        npz(a=np.array(['text'])),
        npz(a=np.ones(3, complex)),
        zipped(npy((2**40,))),
        zipped(npy((2**62, 0))),
        zipped(npy((-1,), bytes(4))),
        zipped(npy((1,), bytes(8))),
        zipped(npy((1,), bytes(4), '|O')),
        zipped(b'no array'),
        zipped(npy((10**7,), bytes(4 * 10**7)), zipfile.ZIP_DEFLATED),
        npz(a=np.ones(99)).replace(np.ones(99).tobytes(), np.zeros(99).tobytes()),
        zipped(npy((1,), bytes(4)), name='a\x1b[2J.npy'),
        zipped(npy((1,), bytes(4)), name='a' * 301),
    ],
    ids=['empty', 'start', 'cut', 'object', 'text', 'complex', 'large', 'sides', 'negative']
    + ['longer', 'forged object', 'no array', 'bomb', 'checksum', 'escape', 'long name'],
)
def test_a_damaged_or_hostile_npz_is_refused(content, tmp_path):
    path = tmp_path / 'a.npz'
    path.write_bytes(content)
    assert refusal(path).endswith('arrays of numbers; write it again with numpy.savez.')


def test_other_layouts_of_arrays(tmp_path):
    array = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / 'a.npz', a=np.asfortranarray(array), b=array.astype('>f4'))
    state = read_state(str(tmp_path / 'a.npz'), 'IN')
    np.testing.assert_array_equal(state['a'], array)
    np.testing.assert_array_equal(state['b'], array)


def test_files_that_cannot_be_opened(tmp_path):
    for name in ('a.index', 'a.npz'):
        assert refusal(tmp_path / name).endswith('does not exist; correct the path.')


@pytest.mark.parametrize('layout', ['index', 'npz'])
@pytest.mark.parametrize(
    'kind',
    [pytest.param('tested', marks=pytest.mark.slow), 'deblurred', 'converted', 'trained'],
)
def test_all_tools_read_the_files(kind, layout, tmp_path, write_config, call_tool, make_runner):
    state = network(SRN).state_dict()
    variables = tf_files.to_variables(state)
    path = tmp_path / 'model-523000.npz'
    if layout == 'npz':
        np.savez(path, **variables)
    else:
        path = write_checkpoint(path.with_suffix(''), variables)
    generator = f"model['generator'] = {SRN}\nmodel['multi_scale_targets'] = 'tf1'\n"
    config = write_config(generator)
    if kind == 'tested':
        code, output, _ = call_tool('test.py', config, path, '--work-dir', tmp_path / 'work')
        assert code == 0
        folder = next((tmp_path / 'work' / 'results' / 'model-523000').iterdir())
        read = [Path(each['path']) for each in Result.load(folder).provenance['weights']]
        data = [tmp_path / 'model-523000.data-00000-of-00001'] if layout == 'index' else []
        assert read == [path, *data]
        runner = make_runner(generator)
        runner.model.generator.load_state_dict(state)
        expected = runner.test()['PSNR']
        assert Result.load(folder).metrics['PSNR'] == expected
    elif kind == 'deblurred':
        restored = init_model(Config.fromfile(config), str(path)).generator
        assert equal(restored, state)
    elif kind == 'converted':
        code, output, _ = call_tool(
            'model_converters/official2mmspd.py', 'srn', path, tmp_path / 'out.pth'
        )
        assert code == 0
        assert "dict(type='mmspd.SRN', variant='lstm', base=2, num_res=1) to " in output
        saved = torch.load(tmp_path / 'out.pth')['state_dict']
        assert all(torch.equal(saved[name], weight) for name, weight in state.items())
    else:
        model = make_runner(generator, **{'model.load_official': str(path)}).model
        model.init_weights()
        assert equal(model.generator, state)
