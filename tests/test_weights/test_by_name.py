"""Published weights are found by name, checked, and described completely."""

import hashlib
import re
from pathlib import Path

import pytest
import torch
import yaml
from published import DMPHN, SMALL, network
from published import publish as publish_files
from tf_files import to_variables, write_checkpoint

from mmspd.apis import DeblurInferencer, init_model
from mmspd.errors import UsageError, UserError
from mmspd.evaluation import Result
from mmspd.utils.launch import find_config, read_config
from mmspd.utils.package_files import package_file
from mmspd.weights import by_name
from mmspd.weights.addresses import parse_address
from mmspd.weights.by_name import find_named, obtain
from mmspd.weights.catalog import CATALOG, File, Weights
from mmspd.weights.official import load_official

KEY = 'checkpoint'
PAGE = 'https://drive.google.com/file/d/1/view'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    return tmp_path / 'home' / 'weights'


@pytest.fixture
def publish(home, monkeypatch):
    """Return a function that publishes the only weights of the catalog."""

    def publish(*files, name='tiny'):
        weights = Weights(name, name, PAGE, None, 'GoPro', files)
        monkeypatch.setattr(by_name, 'CATALOG', (weights,))
        return weights

    return publish


@pytest.fixture
def published(tested, tmp_path):
    """A config, and a file with the weights of its restorer as authors publish them."""
    config, checkpoint = tested
    state = torch.load(checkpoint)['state_dict']
    own = {name.removeprefix('generator.'): value for name, value in state.items()}
    torch.save(dict(model=own), tmp_path / 'MIMO.pkl')
    return config, tmp_path / 'MIMO.pkl'


def test_the_catalog_is_complete_and_plausible():
    assert len({weights.name for weights in CATALOG}) == len(CATALOG) == 22
    recipes = {weights.recipe for weights in CATALOG if weights.name == weights.recipe}
    assert recipes == {weights.recipe for weights in CATALOG}  # all have 'official' weights
    for weights in CATALOG:
        assert Path(find_config(weights.recipe)).stem == weights.recipe
        assert weights.page.startswith('https://')
        assert not weights.note or weights.note.endswith('.')
        for file in weights.files:
            assert file.sha256 is None or re.fullmatch('[0-9a-f]{64}', file.sha256)
            assert file.url is None or parse_address(file.url, KEY).encrypted
        for score in weights.scores:
            assert 25 < score.psnr < 40
            assert (score.ssim is None) == (score.ssim_kind is None)
    names = {file.url.rpartition('/')[2] for file in find_named('dmphn_gopro').files}
    assert names == {f'{part}_lv{n}.pkl' for part in ('encoder', 'decoder') for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ('name', 'recipe', 'sentence'),
    [
        ('mprnet_gorpo', None, r"no weights named 'mprnet_gorpo'; .*\(similar names: mprnet_gopro"),
        ('official', 'mimounet_sp_gopro', r"no 'official' weights of mimounet_sp_gopro; .*mimoune"),
        ('official', None, "no 'official' weights without a recipe; give one of the names that "),
    ],
)
def test_unknown_names(name, recipe, sentence):
    with pytest.raises(UsageError, match=f'^There are {sentence}'):
        find_named(name, recipe)


def test_a_file_is_downloaded_and_checked(publish, home, tmp_path):
    source = tmp_path / 'a.pth'
    source.write_bytes(b'one')
    digest = hashlib.sha256(b'one').hexdigest()
    weights = publish(File(source.as_uri(), 3, digest))
    assert by_name.cached_path(weights) is None
    assert obtain(weights, KEY) == by_name.cached_path(weights) == home / 'tiny' / 'a.pth'
    source.unlink()
    assert obtain(weights, KEY).read_bytes() == b'one'
    (home / 'tiny' / 'a.pth').unlink()
    with pytest.raises(UserError, match=f'another machine and put it into {home}/tiny.$'):
        obtain(weights, KEY)
    source.write_bytes(b'two')
    with pytest.raises(UserError, match=f'but {digest} is expected'):
        obtain(weights, KEY)


def test_a_copy_that_needs_no_person_is_named(home):
    with pytest.raises(
        UserError, match=r'nafnet64_gopro, or give nafnet64-mmagic_gopro, which can'
    ):
        obtain(find_named('nafnet64_gopro'), KEY)


def test_a_cache_that_cannot_be_written(publish, home, tmp_path):
    (tmp_path / 'home').touch()
    with pytest.raises(
        UserError, match=r'tiny cannot be written \(Not a directory\); set MMSPD_HOM'
    ):
        obtain(publish(File((tmp_path / 'a.pth').as_uri())), KEY)


def test_the_metafile_has_the_published_weights_and_results():
    models = {
        model['Name']: model
        for model in yaml.safe_load(package_file('configs', 'spd', 'metafile.yml').read_text())[
            'Models'
        ]
    }
    for name in ('nafnet64', 'restormer'):
        weights = find_named(f'{name}-mmagic_gopro')
        assert models[f'{name}_gopro']['Weights'] == weights.files[0].url
        metrics = models[f'{name}_gopro']['Results'][0]['Metrics']
        assert metrics == {'PSNR': weights.scores[0].psnr, 'SSIM (2-D)': weights.scores[0].ssim}
    assert [name for name, model in models.items() if 'Weights' in model] == [
        'deblurganv2-mobilenet_gopro',
        'deblurganv2_gopro',
        'nafnet64_gopro',
        'restormer_gopro',
    ]
    assert models['mimounetplus_gopro']['Results'] == [
        {'Task': 'Deblurring', 'Dataset': 'GoPro', 'Metrics': {'PSNR': 32.45, 'SSIM (3-D)': 0.957}}
    ]


def test_the_parts_of_weights_are_downloaded_into_a_folder(publish, home, tmp_path):
    names = 'encoder_lv1.pkl', 'decoder_lv1.pkl'
    for name in names:
        (tmp_path / name).write_text(name)
    weights = publish(*(File((tmp_path / name).as_uri()) for name in names))
    assert obtain(weights, KEY) == by_name.cached_path(weights) == home / 'tiny'
    assert [(home / 'tiny' / name).read_text() for name in names] == list(names)
    (home / 'tiny' / names[1]).unlink()
    assert by_name.cached_path(weights) is None


@pytest.mark.parametrize('known', [True, False])
def test_a_file_that_a_person_downloads(publish, home, known):
    weights = publish(File(sha256=hashlib.sha256(b'one').hexdigest() if known else None))
    folder = home / 'tiny'
    sentence = (
        f'checkpoint: the weights tiny cannot be downloaded automatically; download them from '
        f'{PAGE} and put the file into {folder}.'
    )
    with pytest.raises(UserError, match=f'^{re.escape(sentence)}$'):
        obtain(weights, KEY)
    folder.mkdir(parents=True)
    (folder / 'any name.pkl').write_bytes(b'one')
    assert obtain(weights, KEY) == by_name.cached_path(weights) == folder / 'any name.pkl'
    (folder / 'any name.pkl').write_bytes(b'two')
    changed = 'but the published file has' if known else r'but it was \w{64} at the first use; copy'
    with pytest.raises(UserError, match=rf'any name.pkl .*{changed}'):
        obtain(weights, KEY)
    (folder / 'b.pkl').touch()
    with pytest.raises(UserError, match=r'has several files \(any name.pkl, b.pkl\); keep only'):
        obtain(weights, KEY)


def test_python_takes_names(publish, published, tmp_path, monkeypatch):
    config, file = published
    publish(File(file.as_uri()))
    expected = init_model(config, file).generator.state_dict()
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny').mkdir()  # a folder does not hide a name
    (tmp_path / 'unet_gopro').mkdir()
    inferencer = DeblurInferencer(config, 'official', 'cpu')
    restorer = init_model(config).generator
    load_official(restorer, 'tiny')
    for loaded in (inferencer.model.generator, init_model(config, 'tiny').generator, restorer):
        assert all(torch.equal(value, expected[n]) for n, value in loaded.state_dict().items())
    assert read_config('unet_gopro', {}).filename == find_config('mmspd::spd/unet_gopro.py')


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('mimounet_gorpo', 'The config mimounet_gorpo.py does not exist; .*names: mimounet_gopro'),
        ('mmspd::spd/none.py', r'The config \S+/configs/spd/none.py does not exist'),
        ('none.py', 'The config none.py does not exist'),
    ],
)
def test_unknown_configs(name, sentence):
    with pytest.raises(UsageError, match=f'^{sentence}'):
        DeblurInferencer(name, device='cpu')


@pytest.mark.slow
def test_tools_take_names(publish, published, call_tool, tmp_path, pairs_root):
    config, file = published
    publish(File(file.as_uri()))
    photo = pairs_root / 'val' / 'input' / '00.png'
    code, _, error = call_tool(
        'deblur.py', config, 'official', photo, '--out-dir', tmp_path / 'out'
    )
    assert (code, (tmp_path / 'out' / photo.name).is_file()) == (0, True), error
    code, _, error = call_tool('test.py', config, 'tniy')
    assert (code, "no weights named 'tniy'" in error) == (2, True)


def test_a_tensorflow_checkpoint_is_put_into_a_folder_by_hand(publish, home, tmp_path):
    weights = publish(File())
    folder = home / 'tiny'
    folder.mkdir(parents=True)
    state = network('mmspd.PSSNSC').state_dict()
    index = write_checkpoint(folder / 'deblur_model', to_variables(state))
    (folder / 'deblur_model.meta').touch()
    assert obtain(weights, KEY) == by_name.cached_path(weights) == index
    restorer = network('mmspd.PSSNSC', seed=1)
    load_official(restorer, 'tiny')
    assert all(torch.equal(restorer.state_dict()[name], state[name]) for name in state)


@pytest.mark.slow
def test_the_test_tool_takes_the_parts_of_dmphn(publish, write_config, call_tool, tmp_path):
    generator = f"model['generator'] = {SMALL[DMPHN]!r}\nmodel['losses'].pop('loss_freq')\n"
    config = write_config(generator, 'parts.py')
    folder = publish_files(DMPHN, network(DMPHN).state_dict(), tmp_path / 'files')
    parts = sorted(folder.iterdir())
    publish(*(File(path.as_uri()) for path in parts), name='parts')
    code, _, error = call_tool('test.py', config, 'official', '--out', tmp_path / 'result')
    assert code == 0, error
    digests = ''.join(hashlib.sha256(path.read_bytes()).hexdigest() for path in parts)
    stamp = Result.load(tmp_path / 'result').provenance['checkpoint']
    assert stamp['sha256'] == hashlib.sha256(digests.encode()).hexdigest()
    assert stamp['path'] == str(tmp_path / 'home' / 'weights' / 'parts')
