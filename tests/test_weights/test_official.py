"""Official weights: every wrapper and layout loads, and other files are refused."""

import pytest
import torch
from published import (
    DMPHN,
    FAMILIES,
    MIMO,
    MPRNET,
    NAFNET,
    SMALL,
    STAGE1,
    network,
    prefixed,
    publish,
)
from restorer_contract import EMBEDDING, PRIOR

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.registry import build_model
from mmspd.weights.official import load_official
from mmspd.weights.published import recognize, usual_size

#: Arguments that switch off modules, in the order of the messages.
SWITCHES = {MIMO: ('multi_input', 'aff', 'multi_output'), MPRNET: ('sam', 'csff')}
SIZES = [(family.type, size) for family in FAMILIES.values() for size in family.published]


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
    assert equal(restorer, before)  # a refused file changes no weight
    return message


@pytest.mark.parametrize(('kind', 'size'), SIZES, ids=[size.title for _, size in SIZES])
def test_published_sizes_are_recognized(kind, size):
    with torch.device('meta'):
        state = build_model(dict(type=kind, **size.sizes)).state_dict()
    match = recognize(state)
    assert (match.name, match.title) == (size.name, size.title)
    assert match.cfg == dict(type=kind, **size.sizes)


@pytest.mark.parametrize('kind', SMALL)
def test_other_sizes_are_read_off_the_weights(kind):
    match = recognize(network(kind).state_dict())
    assert match.cfg == SMALL[kind]
    assert usual_size(match.name)['type'] == kind


@pytest.mark.slow
@pytest.mark.parametrize('kind', SWITCHES)
def test_variants_are_recognized_load_and_do_not_fit_each_other(kind, tmp_path):
    """Every variant is read off the names of the tensors, and a message names it."""
    switches = SWITCHES[kind]
    variants = [{}, *({switch: False} for switch in switches), dict.fromkeys(switches, False)]
    networks = [build_model(dict(SMALL[kind], **variant)) for variant in variants]
    titles = []
    for number, (variant, restorer) in enumerate(zip(variants, networks)):
        match = recognize(restorer.state_dict())
        assert match.cfg == dict(SMALL[kind], **variant)
        titles.append(match.title)
        assert all(f'{switch}=False' in match.title for switch in variant)
        torch.save(restorer.state_dict(), tmp_path / f'{number}.pth')
        load_official(build_model(match.cfg), str(tmp_path / f'{number}.pth'))
    assert len(set(titles)) == len(variants)
    for restorer, expected in zip(networks, titles):
        for number, given in enumerate(titles):
            if given != expected:
                message = refusal(restorer, tmp_path / f'{number}.pth')
                assert f'does not fit {expected}: ' in message
                assert message.endswith(
                    f'; use weights of {expected}, because these weights look like {given}.'
                )


@pytest.mark.slow
def test_weights_of_mimo_unet_do_not_fit_its_baseline(tmp_path):
    cfg = usual_size('mimounet')
    state = build_model(cfg).state_dict()
    torch.save({'model': state}, tmp_path / 'MIMO-UNet.pkl')
    baseline = build_model(dict(cfg, **dict.fromkeys(SWITCHES[MIMO], False)))
    assert refusal(baseline, tmp_path / 'MIMO-UNet.pkl').partition(' does not fit ')[2] == (
        'MIMO-UNet of another size (base=32, num_res=8, multi_input=False, aff=False, '
        'multi_output=False): 36 unexpected (ConvsOut.0.main.0.weight, '
        'ConvsOut.0.main.0.bias, ConvsOut.1.main.0.weight, ...); use weights of '
        'MIMO-UNet of another size (base=32, num_res=8, multi_input=False, aff=False, '
        'multi_output=False), because these weights look like MIMO-UNet.'
    )


def test_stage_1_loads_from_the_baseline_of_mprnet(tmp_path):
    state = build_model(dict(SMALL[MPRNET], sam=False, csff=False)).state_dict()
    torch.save(state, tmp_path / 'w.pth')
    stage1 = build_model(STAGE1)
    load_official(stage1, str(tmp_path / 'w.pth'))
    assert equal(stage1, {key: state[key] for key in stage1.state_dict()})


@pytest.mark.slow
@pytest.mark.parametrize('kind', SMALL)
def test_official_file_loads(kind, tmp_path):
    state = network(kind).state_dict()
    path = publish(kind, state, tmp_path / 'files')
    restorer = network(kind, seed=1)
    assert not equal(restorer, state)
    message = load_official(restorer, str(path))
    assert equal(restorer, state)
    assert f'from {path} ({len(state)} tensors)' in message


@pytest.mark.parametrize(
    'wrapper',
    [None, 'model', 'state_dict', 'params', 'params_ema', 'model_state_dict', 'G'],
)
@pytest.mark.parametrize('prefix', ['', 'module.', 'generator.', 'module.generator.'])
def test_any_wrapper_and_prefix(tmp_path, wrapper, prefix):
    state = network(MIMO).state_dict()
    named = prefixed(state, prefix)
    # Files may also contain the optimizer (MSSNet) or a discriminator (DeepDeblur).
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))]).state_dict()
    beside = dict(epoch=1, optimizer_state_dict=optimizer, D={'features.0.weight': torch.ones(1)})
    content = named if wrapper is None else {wrapper: named, **beside}
    torch.save(content, tmp_path / 'w.pth')
    restorer = network(MIMO, seed=1)
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, state)


def test_averaged_weights_of_basicsr_are_loaded(tmp_path):
    raw, averaged = (network(NAFNET, seed).state_dict() for seed in (1, 2))
    torch.save(dict(params=raw, params_ema=averaged), tmp_path / 'w.pth')
    restorer = network(NAFNET)
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, averaged)


SHARED = (MPRNET, 'mmspd.MSSNet')


def slopes(state):
    """Names of the shared PReLU in a state dict."""
    return [key for key, value in state.items() if value.shape == (1,)]


@pytest.mark.parametrize('kind', SHARED)
def test_one_name_of_the_shared_prelu_is_enough(kind, tmp_path):
    source = network(kind)
    state = source.state_dict()
    first, *others = slopes(state)
    assert len(others) > 10
    state[first].fill_(0.125)
    torch.save({k: v for k, v in state.items() if k not in others}, tmp_path / 'w.pth')
    restorer = network(kind, seed=1)
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, source.state_dict())
    assert sum(p.numel() == 1 for p in restorer.parameters()) == 1


@pytest.mark.parametrize('kind', SHARED)
def test_a_prelu_that_is_not_shared_is_refused(kind, tmp_path):
    state = {key: value.clone() for key, value in network(kind).state_dict().items()}
    last = slopes(state)[-1]
    state[last] += 1
    torch.save(state, tmp_path / 'w.pth')
    message = refusal(network(kind, seed=1), tmp_path / 'w.pth')
    assert f'different values for {slopes(state)[0]} and {last}' in message


@pytest.mark.slow
def test_second_names_of_a_backbone(tmp_path):
    """The backbone of DeblurGAN-v2 is in its files twice, whole and by levels."""
    kind = 'mmspd.DeblurGANv2'
    source, restorer = network(kind), network(kind, seed=1)
    state = {key: value.clone() for key, value in source.state_dict().items()}
    torch.save({k: v for k, v in state.items() if '.enc' not in k}, tmp_path / 'w.pth')
    load_official(restorer, str(tmp_path / 'w.pth'))
    assert equal(restorer, source.state_dict())
    assert restorer.fpn.enc0[0] is restorer.fpn.features[0]
    torch.save(dict(state, **{'fpn.extra.weight': torch.ones(1)}), tmp_path / 'more.pth')
    message = refusal(network(kind, seed=1), tmp_path / 'more.pth')
    assert '1 unexpected (fpn.extra.weight)' in message
    state['fpn.enc1.0.conv.0.weight'] += 1
    torch.save(state, tmp_path / 'differs.pth')
    message = refusal(network(kind, seed=1), tmp_path / 'differs.pth')
    assert 'values for fpn.features.2.conv.0.weight and fpn.enc1.0.conv.0.weight' in message


def test_stage_1_of_mprnet_loads_its_part(tmp_path):
    state = network(MPRNET).state_dict()
    path = publish(MPRNET, state, tmp_path / 'files')
    stage1 = build_model(STAGE1)
    assert 'of later stages left out' in load_official(stage1, str(path))
    assert equal(stage1, {key: state[key] for key in stage1.state_dict()})
    del state['stage1_decoder.up21.up.1.weight']
    torch.save(state, tmp_path / 'w.pth')
    assert '1 missing (stage1_decoder.up21.up.1.weight)' in refusal(stage1, tmp_path / 'w.pth')


@pytest.mark.slow
@pytest.mark.parametrize('other', SMALL)
def test_another_restorers_file_is_refused_by_name(other, tmp_path):
    path = publish(other, network(other).state_dict(), tmp_path / 'files')
    for kind in SMALL.keys() - {other}:
        message = refusal(network(kind), path)
        assert f'{path} does not fit ' in message
        assert message.partition('these weights look like ')[2].startswith(FAMILIES[other].title)


@pytest.mark.slow
def test_official_titles_in_a_mismatch(tmp_path):
    with torch.device('meta'):
        plus = build_model(usual_size('mimounetplus')).state_dict()
    torch.save({key: torch.zeros(value.shape) for key, value in plus.items()}, tmp_path / 'w.pth')
    message = refusal(build_model(usual_size('mimounet')), tmp_path / 'w.pth')
    assert 'does not fit MIMO-UNet: 288 unexpected (Encoder.0.layers.8.main.0.main.0' in message
    assert message.endswith(
        '; use weights of MIMO-UNet, because these weights look like MIMO-UNet+.'
    )


def test_missing_changed_and_unexpected_tensors(tmp_path):
    state = dict(network(MIMO).state_dict())
    del state['Convs.0.main.0.bias']
    state['extra'] = torch.ones(1)
    state['Convs.1.main.0.bias'] = torch.ones(3)
    torch.save(state, tmp_path / 'w.pth')
    message = refusal(network(MIMO, seed=1), tmp_path / 'w.pth')
    assert '1 missing (Convs.0.main.0.bias)' in message
    assert '1 unexpected (extra)' in message
    assert 'Convs.1.main.0.bias is (3,) instead of (8,)' in message
    assert 'use an unmodified file of MIMO-UNet' in message


def test_other_state_dicts_are_refused(tmp_path):
    path = tmp_path / 'w.pth'
    restorer = network(MIMO)
    for state, advice in (
        ({'fc.weight': torch.ones(1)}, 'an unknown restorer (first tensor: fc.weight)'),
        (
            {'generator.a': torch.ones(1), 'prior_loss.a': torch.ones(1)},
            'because it is a checkpoint of mmspd train',
        ),
        ({'generator.restorer.a': torch.ones(1)}, 'use load_from for this file'),
        ({'layer1.weight': torch.ones(1)}, 'give the folder with all 6 files of DMPHN'),
        ({'layer24.weight': torch.ones(1)}, 'give the folder with all 6 files of DMPHN'),
        # The names are marks of NAFNet, but the tensors are not convolution weights.
        ({'intro.weight': torch.ones(1), 'ending.weight': torch.ones(1)}, 'an unknown restorer'),
    ):
        torch.save(state, path)
        assert advice in refusal(restorer, path)
    torch.save({'epoch': 3}, path)
    with pytest.raises(UserError, match='contains no state dict'):
        load_official(restorer, str(path))


def test_folder_that_lacks_a_file_of_dmphn(tmp_path):
    folder = publish(DMPHN, network(DMPHN).state_dict(), tmp_path / 'files')
    (folder / 'decoder_lv2.pkl').unlink()
    message = refusal(network(DMPHN, seed=1), folder)
    assert f'the folder {folder} lacks decoder_lv2.pkl; use' in message


def test_address_is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    state = network(MIMO).state_dict()
    path = publish(MIMO, state, tmp_path / 'files')
    restorer = network(MIMO, seed=1)
    load_official(restorer, path.as_uri())
    assert equal(restorer, state)
    path.unlink()
    load_official(network(MIMO, seed=2), path.as_uri())


@pytest.mark.parametrize(
    ('url', 'sentence'),
    [
        ('https://drive.google.com/file/d/166sufeHcdDTgHHNdCRzTC4T6DbFwFcTU/view', 'manually'),
        ('s3://bucket/MIMO-UNetPlus.pkl', 'manually and give its path'),
        ('file:///nowhere/MIMO-UNetPlus.pkl', r'MIMO-UNetPlus.pkl cannot be downloaded'),
    ],
)
def test_addresses_without_a_file(tmp_path, monkeypatch, url, sentence):
    monkeypatch.setenv('MMSPD_HOME', str(tmp_path / 'home'))
    with pytest.raises(UserError, match=sentence):
        load_official(network(MIMO), url, 'model.load_official')


def deblurrer(generator, **kwargs):
    losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
    cfg = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses, **kwargs)
    return build_model(cfg)


def guided(kind):
    seams = ['decoders.0', 'decoders.1'] if kind == NAFNET else None
    pieces = dict(prior=PRIOR, embedding=EMBEDDING)
    return dict(type='mmspd.SemanticGuided', restorer=SMALL[kind], seams=seams, **pieces)


@pytest.mark.slow
@pytest.mark.parametrize('kind', [MIMO, NAFNET])
def test_prior_on_published_weights_starts_as_the_restorer_itself(kind, tmp_path):
    source = network(kind)
    path = publish(kind, source.state_dict(), tmp_path / 'files')
    model = deblurrer(guided(kind), load_official=str(path))
    model.init_weights()
    model.eval()
    assert equal(model.generator.restorer, source.state_dict())
    img = torch.rand(1, 3, 35, 45)
    with torch.no_grad():
        assert torch.equal(model(img, mode='tensor'), as_list(source(img))[-1])


def test_plain_restorer_starts_from_published_weights(tmp_path, caplog):
    state = network(MIMO).state_dict()
    path = publish(MIMO, state, tmp_path / 'files')
    model = deblurrer(SMALL[MIMO], load_official=str(path), channels_last=True)
    model.init_weights()
    assert equal(model.generator, state)
    weight = model.generator.Encoder[0].layers[0].main[0].main[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        weight.zero_()
    model.init_weights()  # a second training continues from the first
    assert not weight.any()


def test_published_weights_are_not_read_for_testing():
    model = deblurrer(SMALL[MIMO], load_official='/nowhere/MIMO-UNet.pkl').eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 16, 16), mode='tensor').shape == (1, 3, 16, 16)
    with pytest.raises(UserError, match='model.load_official: the file /nowhere/MIMO-UNet.pkl doe'):
        model.init_weights()


def test_an_unpublished_restorer_loads_strictly_too(tmp_path):
    unet = dict(type='mmspd.UNet', base=4, num_res=1)
    state = build_model(unet).state_dict()
    torch.save({'state_dict': state}, tmp_path / 'w.pth')
    restorer = build_model(unet)
    assert load_official(restorer, str(tmp_path / 'w.pth')).startswith('the weights from /')
    assert equal(restorer, state)
    torch.save(dict(list(state.items())[1:]), tmp_path / 'w.pth')
    assert 'does not fit UNet: 1 missing' in refusal(restorer, tmp_path / 'w.pth')
