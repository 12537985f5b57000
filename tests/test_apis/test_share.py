"""Shared weights contain everything that is needed, and no code."""

import inspect
import json
import shutil
import sys

import huggingface_hub
import pytest
import torch
import yaml
from mmengine.config import Config
from safetensors.torch import load_file

from mmspd.apis import DeblurInferencer, init_model
from mmspd.apis.share import pull, push, write_shared
from mmspd.errors import UserError
from mmspd.evaluation import PSNR, Result
from mmspd.utils.files import sha256_of
from mmspd.utils.launch import read_config
from mmspd.utils.shared_config import write_shared_config
from mmspd.version import __version__

FILES = {'README.md', 'config.json', 'model.safetensors'}


@pytest.fixture
def result(tested, tmp_path):
    """Return a function that saves a result of the checkpoint."""

    def save(**changes):
        provenance = dict(
            protocol='gopro',
            dataset=dict(type='GoProDataset', images=2),
            precision='float32',
            self_ensemble=False,
            tiling=None,
            versions=dict(mmspd='0.2.0', torch='2.6.0'),
            date='2026-01-02T03:04:05+00:00',
            checkpoint=dict(path='random.pth', sha256=sha256_of(tested[1])),
        )
        Result({**provenance, **changes}, {'PSNR': 30.254}, PSNR.info, []).save(tmp_path / 'result')
        return tmp_path / 'result' / 'result.json'

    return save


def test_a_shared_folder(tested, result, tmp_path):
    config, checkpoint = tested
    folder = tmp_path / 'shared'
    write_shared(read_config(config, {}), checkpoint, folder, 'me/tiny', [result()], 'apache-2.0')
    assert {path.name for path in folder.iterdir()} == FILES
    expected = init_model(config, checkpoint).state_dict()
    saved = load_file(folder / 'model.safetensors')
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], value) for name, value in expected.items())
    content = json.loads((folder / 'config.json').read_text())
    assert content.keys() == {'default_scope', 'model'}
    assert content['model']['generator']['num_res'] == 1
    _, header, text = (folder / 'README.md').read_text().split('---\n', 2)
    assert yaml.safe_load(header) == {
        'library_name': 'mmspd',
        'pipeline_tag': 'image-to-image',
        'tags': ['deblurring'],
        'license': 'apache-2.0',
    }
    for line in (
        '# me/tiny',
        f'MIMOUNet, which removes motion blur. Written by mmspd {__version__}.',
        f'| SHA-256 of model.safetensors | `{sha256_of(folder / "model.safetensors")}` |',
        '| training data | PairedFolderDataset |',
        '| training | Adam 0.002, batch 2, 2 epochs |',
        '| PSNR   | 30.25 |',
        '- test set: GoProDataset, 2 images',
        '- versions: mmspd 0.2.0, torch 2.6.0',
        '- date: 2026-01-02T03:04:05+00:00',
        f'- SHA-256 of the checkpoint: `{sha256_of(checkpoint)}`',
        '## Limits',
    ):
        assert line in text.splitlines()
    inferencer = DeblurInferencer(folder, device='cpu')
    assert torch.equal(
        inferencer.model.generator.ConvsOut[0].main[0].weight,
        expected['generator.ConvsOut.0.main.0.weight'],
    )


def test_a_guided_model_without_results(write_config, tmp_path):
    config = read_config(write_config('', 'guided.py', 'distilled'), {})
    torch.save(dict(state_dict=init_model(config).state_dict()), tmp_path / 'a.pth')
    write_shared(config, tmp_path / 'a.pth', tmp_path / 'shared', 'me/guided')
    text = (tmp_path / 'shared' / 'README.md').read_text()
    assert 'MIMOUNet with a semantic prior, which removes motion blur.' in text
    assert 'license' not in text.split('---\n')[1]
    assert '| license | Not stated. Ask the owner' in text
    assert 'No results are given.' in text
    assert 'teacher' not in (tmp_path / 'shared' / 'config.json').read_text()
    names = load_file(tmp_path / 'shared' / 'model.safetensors').keys()
    assert all(name.startswith('generator.') for name in names)


def test_a_result_of_another_checkpoint_is_refused(tested, result, tmp_path):
    config, checkpoint = tested
    for other, stated in ((dict(sha256='12'), '12'), (None, 'None')):
        file = result(checkpoint=other)
        with pytest.raises(UserError, match=f'is the result of weights with the SHA-256 {stated},'):
            write_shared(read_config(config, {}), checkpoint, tmp_path / 's', 'me/tiny', [file])
    assert not (tmp_path / 's').exists()


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ('{', 'is not a JSON file'),
        ('[]', 'is not the config of shared weights'),
        ('{"model": {}, "_base_": "a.py"}', 'is not the config of shared weights'),
        ('{"model": {}, "custom_imports": {"imports": ["a"]}}', 'is not the config of shared'),
        ('{"model": {"a": [{"type": "os.system", "command": "x"}]}}', "has the type 'os.system'"),
        ('{"model": {"type": "mmengine.dump"}}', "has the type 'mmengine.dump', but shared"),
        ('{"model": {"type": 3}}', 'has the type 3, but shared'),
        ('{"model": NaN}', 'model is nan, not an object'),
        pytest.param('[' * 10**5, 'has too many levels', id='deep'),
    ],
)
def test_a_shared_config_cannot_run_code(tmp_path, content, sentence):
    (tmp_path / 'config.json').write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_config(str(tmp_path), {})


def test_classes_of_other_packages_cannot_be_shared(tested, tmp_path):
    config = read_config(tested[0], {})
    config.model.losses.loss_pix.type = 'project.Loss'
    with pytest.raises(UserError, match=r"config.json has the type 'project.Loss', but shared wei"):
        write_shared_config(config, tmp_path / 'config.json')


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in place of the servers of Hugging Face; the cache is empty."""
    made = []
    create = inspect.signature(huggingface_hub.HfApi.create_repo)
    upload = inspect.signature(huggingface_hub.HfApi.upload_folder)
    download = inspect.signature(huggingface_hub.snapshot_download)

    class Api:
        def create_repo(self, *args, **kwargs):
            made.append({**create.bind(self, *args, **kwargs).arguments, 'self': None})

        def upload_folder(self, *args, **kwargs):
            given = upload.bind(self, *args, **kwargs).arguments
            shutil.copytree(given['folder_path'], tmp_path / 'hub' / given['repo_id'])
            assert set(given['allow_patterns']) == FILES
            return f'https://hub/{given["repo_id"]}'

    def snapshot_download(*args, **kwargs):
        given = download.bind(*args, **kwargs).arguments
        assert set(given['allow_patterns']) == FILES
        server = tmp_path / 'hub' / given['repo_id']
        shutil.copytree(server, given['local_dir'], dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub, 'HfApi', Api)
    monkeypatch.setattr(huggingface_hub, 'snapshot_download', snapshot_download)
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    return made


def test_push_and_pull(hub, call_tool, tested, result, tmp_path):
    config, checkpoint = tested
    share = ('weights.py', 'push', config, checkpoint, 'me/tiny', '--result', result())
    code, output, _ = call_tool(*share, '--out-dir', tmp_path / 'only')
    assert (code, output, hub) == (0, f'Wrote {tmp_path / "only"}.\n', [])
    assert {path.name for path in (tmp_path / 'only').iterdir()} == FILES
    code, output, _ = call_tool(*share, '--private')
    assert (code, output) == (0, 'Wrote https://hub/me/tiny.\n')
    assert hub == [dict(self=None, repo_id='me/tiny', private=True, exist_ok=True)]
    code, output, _ = call_tool('weights.py', 'pull', 'me/tiny')
    folder = tmp_path / 'home' / 'shared' / 'me' / 'tiny'
    assert (code, output) == (0, f'{folder}\n')
    model = init_model(str(folder), folder)
    expected = init_model(config, checkpoint).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_failures_of_the_hub_are_sentences(hub, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'^me/none cannot be pulled \(.*\); check its name, the n'):
        pull('me/none')
    (tmp_path / 'hub' / 'me' / 'other').mkdir(parents=True)
    with pytest.raises(UserError, match='me/other has no config.json; pull a repository that'):
        pull('me/other')
    with pytest.raises(UserError, match=r'^me/a cannot be pushed \(.*none'):
        push(tmp_path / 'none', 'me/a')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for share in (lambda: pull('me/a'), lambda: push(tmp_path, 'me/a')):
        with pytest.raises(UserError, match=r'needs the package huggingface_hub; run pip install'):
            share()


def test_the_list_and_the_download_of_published_weights(call_tool, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path))
    code, output, _ = call_tool('weights.py', 'list')
    assert code == 0
    assert '| nafnet64_gopro ' in output
    assert 'mimounetplus_realblur-j: https://github.com/chosj95/MIMO-UNet#model\n' in output
    code, _, error = call_tool('weights.py', 'get', 'mimounet_gopro', 'mprnet_gopro')
    assert code == 1
    assert error.count('cannot be downloaded automatically; download them from https://') == 2
    (tmp_path / 'weights' / 'mimounet_gopro').mkdir(parents=True)
    file = tmp_path / 'weights' / 'mimounet_gopro' / 'MIMO-UNet.pkl'
    file.touch()
    code, output, _ = call_tool('weights.py', 'get', 'mimounet_gopro')
    assert (code, output.splitlines()[-1]) == (0, str(file))
    assert 'in the cache' in call_tool('weights.py', 'list')[1]
    code, _, error = call_tool('weights.py', 'get', 'mimounet')
    assert (code, "There are no weights named 'mimounet'" in error) == (2, True)


def test_the_shared_config_is_small_and_complete(tested, tmp_path):
    config = Config.fromfile(tested[0])
    write_shared(config, tested[1], tmp_path / 's', 'me/a')
    assert '/' not in (tmp_path / 's' / 'config.json').read_text()  # no paths of this machine
