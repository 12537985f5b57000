"""Official weights: every wrapper and layout loads, everything else is refused in a sentence."""

import itertools

import pytest
import torch
from published import SMALL, network, prefixed, publish
from restorer_contract import EMBEDDING, PRIOR

from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.weights.official import load_official
from mmspd.weights.published import FAMILIES, NAMES, recognize, usual_size

SIZES = [(family.type, size) for family in FAMILIES for size in family.published]


def equal(restorer, state):
    own = restorer.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[k], v) for k, v in state.items())


def refusal(restorer, source):
    before = {key: value.clone() for key, value in restorer.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_official(restorer, str(source), 'model.load_official')
    message = str(error.value)
    assert message.startswith('model.load_official: ')
    assert '\n' not in message
    assert equal(restorer, before)  # nothing is loaded by halves
    return message


def test_every_name_has_a_small_twin():
    assert set(SMALL) == set(NAMES)


@pytest.mark.parametrize(('kind', 'size'), SIZES, ids=[size.title for _, size in SIZES])
def test_published_sizes_are_recognized(kind, size):
    with torch.device('meta'):
        state = build_model(dict(type=kind, **size.sizes)).state_dict()
    found = recognize(state)
    assert (found.name, found.title) == (size.name, size.title)
    assert found.cfg == dict(type=kind, **size.sizes)


@pytest.mark.parametrize('name', NAMES)
def test_other_sizes_are_read_off_the_weights(name):
    assert recognize(network(name).state_dict()).cfg == SMALL[name]
    assert usual_size(name)['type'] == SMALL[name]['type']


@pytest.mark.parametrize('name', NAMES)
def test_official_file_loads(name, tmp_path):
    state = network(name).state_dict()
    path = publish(name, state, tmp_path / 'files')
    restorer = network(name, seed=1)
    assert not equal(restorer, state)
    said = load_official(restorer, str(path))
    assert equal(restorer, state)
    assert f'from {path} ({len(state)} tensors)' in said


@pytest.mark.parametrize(
    'wrapper',
    [None, 'model', 'state_dict', 'params', 'params_ema', 'model_state_dict', 'G'],
)
@pytest.mark.parametrize('prefix', ['', 'module.', 'generator.', 'module.generator.'])
def test_any_wrapper_and_prefix(tmp_path, wrapper, prefix):
    state = network('mimounet').state_dict()
    named = prefixed(state, prefix)
    torch.save(named if wrapper is None else {wrapper: named, 'epoch': 1}, tmp_path / 'w.pth')
    restorer = network('mimounet', seed=1)
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, state)


def test_averaged_weights_of_basicsr_are_the_ones(tmp_path):
    raw, averaged = (network('nafnet', seed).state_dict() for seed in (1, 2))
    torch.save(dict(params=raw, params_ema=averaged), tmp_path / 'w.pth')
    restorer = network('nafnet')
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, averaged)


SHARED = [name for name in NAMES if name in ('mprnet', 'mssnet')]


def slopes(state):
    """Names of the one PReLU in a state dict."""
    return [key for key, value in state.items() if value.shape == (1,)]


@pytest.mark.parametrize('name', SHARED)
def test_one_name_of_the_shared_prelu_is_enough(name, tmp_path):
    source = network(name)
    state = source.state_dict()
    first, *others = slopes(state)
    assert len(others) > 10
    state[first].fill_(0.125)
    torch.save({k: v for k, v in state.items() if k not in others}, tmp_path / 'w.pth')
    restorer = network(name, seed=1)
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, source.state_dict())
    assert sum(p.numel() == 1 for p in restorer.parameters()) == 1


@pytest.mark.parametrize('name', SHARED)
def test_a_prelu_that_is_not_shared_is_refused(name, tmp_path):
    state = {key: value.clone() for key, value in network(name).state_dict().items()}
    last = slopes(state)[-1]
    state[last] += 1
    torch.save(state, tmp_path / 'w.pth')
    message = refusal(network(name, seed=1), tmp_path / 'w.pth')
    assert f'different values for {slopes(state)[0]} and {last}' in message


def test_stage_1_of_mprnet_takes_its_part(tmp_path):
    state = network('mprnet').state_dict()
    path = publish('mprnet', state, tmp_path / 'files')
    sizes = {k: v for k, v in SMALL['mprnet'].items() if k not in ('orsnet_growth', 'num_cab')}
    stage1 = build_model(dict(sizes, num_stages=1))
    said = load_official(stage1, str(path))
    assert 'of later stages left out' in said
    assert equal(stage1, {key: state[key] for key in stage1.state_dict()})
    del state['stage1_decoder.up21.up.1.weight']
    torch.save(state, tmp_path / 'w.pth')
    assert '1 missing (stage1_decoder.up21.up.1.weight)' in refusal(stage1, tmp_path / 'w.pth')


@pytest.mark.parametrize(('name', 'other'), list(itertools.permutations(NAMES, 2)))
def test_another_restorers_file_is_refused_by_name(name, other, tmp_path):
    path = publish(other, network(other).state_dict(), tmp_path / 'files')
    message = refusal(network(name), path)
    assert f'{path} does not fit ' in message
    titles = {family.type: family.title for family in FAMILIES}
    looks = message.partition('it looks like ')[2]
    if other == 'mimounetplus' or other == 'mimounet':
        assert f'num_res={SMALL[other]["num_res"]}' in looks
    assert looks.startswith(titles[SMALL[other]['type']])


def test_official_titles_in_a_mismatch(tmp_path):
    with torch.device('meta'):
        plus = build_model(usual_size('mimounetplus')).state_dict()
    torch.save({key: torch.zeros(value.shape) for key, value in plus.items()}, tmp_path / 'w.pth')
    message = refusal(build_model(usual_size('mimounet')), tmp_path / 'w.pth')
    assert 'does not fit MIMO-UNet: 288 unexpected (Encoder.0.layers.8.main.0.main.0' in message
    assert message.endswith('; it looks like MIMO-UNet+.')


def test_missing_changed_and_superfluous_tensors(tmp_path):
    state = dict(network('mimounet').state_dict())
    del state['Convs.0.main.0.bias']
    state['extra'] = torch.ones(1)
    state['Convs.1.main.0.bias'] = torch.ones(3)
    torch.save(state, tmp_path / 'w.pth')
    message = refusal(network('mimounet', seed=1), tmp_path / 'w.pth')
    assert '1 missing (Convs.0.main.0.bias)' in message
    assert '1 unexpected (extra)' in message
    assert 'Convs.1.main.0.bias is (3,) instead of (8,)' in message
    assert 'it looks like an incomplete or changed file of MIMO-UNet' in message


def test_files_of_something_else(tmp_path):
    path = tmp_path / 'w.pth'
    restorer = network('mimounet')
    for state, looks in (
        ({'fc.weight': torch.ones(1)}, 'no restorer that is known here (its first tensor is fc.w'),
        ({'generator.a': torch.ones(1), 'prior_loss.a': torch.ones(1)}, 'tools/train.py, which'),
        ({'generator.restorer.a': torch.ones(1)}, 'tools/train.py, which load_from takes'),
        ({'layer1.weight': torch.ones(1)}, "one of DMPHN's six files, give the folder"),
        ({'layer13.0.weight': torch.ones(1)}, "one of DMPHN's six files, give the folder"),
        # marks of a known restorer, but not as its convolutions
        ({'intro.weight': torch.ones(1), 'ending.weight': torch.ones(1)}, 'no restorer that is'),
    ):
        torch.save(state, path)
        assert looks in refusal(restorer, path)
    torch.save({'epoch': 3}, path)
    with pytest.raises(UserError, match='holds no state dict'):
        load_official(restorer, str(path))


def test_folder_that_lacks_a_file_of_dmphn(tmp_path):
    folder = publish('dmphn', network('dmphn').state_dict(), tmp_path / 'files')
    (folder / 'decoder_lv2.pkl').unlink()
    message = refusal(network('dmphn', seed=1), folder)
    assert f'{folder} is a folder without decoder_lv2.pkl; give' in message


def test_truncated_file_and_missing_file(tmp_path):
    path = publish('mimounet', network('mimounet').state_dict(), tmp_path / 'files')
    path.write_bytes(path.read_bytes()[:-1000])
    assert 'it is truncated or damaged' in refusal(network('mimounet'), path)
    assert 'does not exist; correct the path' in refusal(network('mimounet'), tmp_path / 'no.pkl')


def test_address_is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    state = network('mimounet').state_dict()
    path = publish('mimounet', state, tmp_path / 'files')
    restorer = network('mimounet', seed=1)
    load_official(restorer, path.as_uri())
    assert equal(restorer, state)
    path.unlink()
    load_official(network('mimounet', seed=2), path.as_uri())


@pytest.mark.parametrize(
    ('url', 'sentence'),
    [
        ('https://drive.google.com/file/d/166sufeHcdDTgHHNdCRzTC4T6DbFwFcTU/view', 'by hand'),
        ('s3://bucket/MIMO-UNetPlus.pkl', 'by hand and give its path'),
        ('file:///nowhere/MIMO-UNetPlus.pkl', r'needs MIMO-UNetPlus.pkl, which cannot be downloa'),
    ],
)
def test_addresses_that_give_no_file(tmp_path, monkeypatch, url, sentence):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    with pytest.raises(UserError, match=sentence):
        load_official(network('mimounet'), url, 'model.load_official')


def deblurrer(generator, **kwargs):
    losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
    cfg = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses, **kwargs)
    return build_model(cfg)


def guided(name):
    seams = ['decoders.1', 'decoders.2', 'decoders.3'] if name == 'nafnet' else None
    pieces = dict(prior=PRIOR, embedding=EMBEDDING)
    return dict(type='mmspd.SemanticGuided', restorer=SMALL[name], seams=seams, **pieces)


@pytest.mark.parametrize('name', [n for n in NAMES if n not in ('mimounetplus', 'restormer')])
def test_prior_on_published_weights_starts_as_the_restorer_itself(name, tmp_path):
    source = network(name)
    path = publish(name, source.state_dict(), tmp_path / 'files')
    model = deblurrer(guided(name), load_official=str(path))
    model.init_weights()
    model.eval()
    assert equal(model.generator.restorer, source.state_dict())
    img = torch.rand(1, 3, 35, 45)
    with torch.no_grad():
        plain = source(img)
        plain = plain if isinstance(plain, torch.Tensor) else plain[-1]
        assert torch.equal(model(img, mode='tensor'), plain)


def test_plain_restorer_starts_from_published_weights(tmp_path, caplog):
    state = network('mimounet').state_dict()
    path = publish('mimounet', state, tmp_path / 'files')
    model = deblurrer(SMALL['mimounet'], load_official=str(path), channels_last=True)
    model.init_weights()
    assert equal(model.generator, state)
    weight = model.generator.Encoder[0].layers[0].main[0].main[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        weight.zero_()
    model.init_weights()  # a second training goes on from where the first ended
    assert not weight.any()


def test_published_weights_are_not_read_for_testing():
    model = deblurrer(SMALL['mimounet'], load_official='/nowhere/MIMO-UNet.pkl').eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 16, 16), mode='tensor').shape == (1, 3, 16, 16)
    with pytest.raises(UserError, match='model.load_official: the file /nowhere/MIMO-UNet.pkl doe'):
        model.init_weights()


def test_weights_of_a_restorer_without_publication_load_as_strictly(tmp_path):
    unet = dict(type='mmspd.UNet', base=4, num_res=1)
    state = build_model(unet).state_dict()
    torch.save({'state_dict': state}, tmp_path / 'w.pth')
    restorer = build_model(unet)
    assert load_official(restorer, str(tmp_path / 'w.pth')).startswith('the weights from /')
    assert equal(restorer, state)
    torch.save(dict(list(state.items())[1:]), tmp_path / 'w.pth')
    assert 'does not fit UNet: 1 missing' in refusal(restorer, tmp_path / 'w.pth')
