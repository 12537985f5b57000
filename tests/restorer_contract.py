"""The contract of every restorer, plain and guided. A new restorer subclasses it:

class TestMyNet(OwnRestorerContract):
    restorer = dict(type='mmspd.MyNet', base=8)
    official_sizes = [({}, 4_000_000, 40.0, 100)]

    def reference(self, weights, img, cfg):
        return [weights.conv(img, 'conv') + img]
"""

import copy
import functools
import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mutations import effects
from unit_gain import unit_gain

from mmspd.apis.complexity import cost_of
from mmspd.models.guided import as_list
from mmspd.models.seams import no_fuse
from mmspd.registry import MODELS, build_model

PRIOR = dict(
    type='mmspd.SPL',
    extractor=dict(type='mmspd.ConvExtractor', width=8, strides=(2, 4, 8), num_blocks=(1, 1, 1)),
    clc=dict(type='mmspd.CLC'),
)
#: Accepted difference of two computations in float64, as a share of the largest value.
TOLERANCE = 1e-12
EMBEDDING = dict(type='mmspd.SPE', mla=dict(type='mmspd.MLA'), fusion=dict(type='mmspd.SAT'))


def guide(restorer, seams=None, fusion='mmspd.SAT', outputs='all', prior=PRIOR):
    """A guided restorer, by default with the contract's small prior."""
    return MODELS.build(
        dict(
            type='mmspd.SemanticGuided',
            restorer=restorer,
            seams=seams,
            prior=prior,
            embedding=dict(EMBEDDING, fusion=dict(type=fusion)),
            outputs=outputs,
        )
    )


def randomize(network):
    """Replace parameters that are zero, such as those of SAT, because zeros hide a path."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.abs().sum() == 0:
                parameter.normal_(std=0.05)
    return network


def image(height=32, width=64, batch=1):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(batch, 3, height, width, generator=generator)


def check_every_block_is_visible(network, img, within=''):
    """Fail if a comparison of outputs could overlook a wrong block or operation.

    Args:
        network: The network, in float64 and with weights at unit gain.
        img: Its input.
        within: Beginning of the names of the blocks to check; all by default.
    """
    found = effects(network, img, within)
    hidden = {name: size for name, size in found.items() if size < 100 * TOLERANCE}
    assert found
    assert not hidden, f'Removing or changing these does not change the outputs: {hidden}'


def check_equal_in_float32(got, expected):
    """Fail if two outputs differ by more than rounding."""
    allowed = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(got, expected, rtol=0, atol=allowed)


def backward(network, *images):
    """Run a forward pass for each image, then one backward pass; returns the gradients."""
    network.zero_grad()
    forwards = [as_list(network(img)) for img in images]
    total = sum(out.square().mean() for outs in forwards for out in outs)
    total.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
        if p.requires_grad
    }


class GuidedContract:
    """The contract of a guided restorer, including a restorer of another project."""

    restorer: dict  # a small configuration
    small = None  # arguments that make its recipe small; None for those of `restorer`
    seams = None  # names, for a restorer that does not define seams
    prior = PRIOR
    size, odd = (32, 64), (35, 45)  # two sizes that it accepts
    dtypes = (torch.float32, torch.bfloat16)  # types that all of its operations support
    mutated_size = (16, 24)  # a small size that it accepts

    def build(self, kind):
        torch.manual_seed(0)
        if kind == 'plain':
            return randomize(build_model(self.restorer)).eval()
        return randomize(guide(self.restorer, self.seams, prior=self.prior)).eval()

    @pytest.fixture(params=['guided'])
    def network(self, request):
        return self.build(request.param)

    def test_prior_starts_as_identity(self):
        guided = guide(self.restorer, self.seams, prior=self.prior).eval()
        plain = build_model(self.restorer).eval()
        plain.load_state_dict(guided.restorer.state_dict(), strict=True)
        for dtype in self.dtypes:
            for size in (self.size, self.odd):
                img = image(*size).to(dtype)
                with torch.no_grad():
                    pairs = zip(as_list(guided.to(dtype)(img)), as_list(plain.to(dtype)(img)))
                    assert all(torch.equal(a, b) for a, b in pairs)

    def test_prior_changes_the_output_once_it_has_learned(self):
        guided = self.build('guided')
        with torch.no_grad():
            img = image(*self.size)
            change = as_list(guided(img))[-1] - as_list(guided.restorer(img))[-1]
        assert change.abs().max() > 1e-4

    @pytest.mark.slow
    def test_every_block_changes_the_output(self):
        """Otherwise, a comparison with the official outputs could overlook an error."""
        network = unit_gain(build_model(self.restorer).double().eval())
        check_every_block_is_visible(network, image(*self.mutated_size).double())

    @pytest.mark.slow
    def test_every_parameter_gets_a_gradient(self, network):
        gradients = backward(network, image(*self.size))
        own = {name: grad for name, grad in gradients.items() if not name.startswith('restorer.')}
        assert own
        assert not [name for name, grad in own.items() if grad.abs().sum() == 0]

    @pytest.mark.slow
    def test_copies_are_independent_and_equal(self, network):
        copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
        img = image(*self.size)
        with torch.no_grad():
            expected = as_list(network(img))[-1]
            for parameter in network.parameters():
                parameter.zero_()
            for copied in copies:
                assert torch.equal(as_list(copied(img))[-1], expected)


class RestorerContract(GuidedContract):
    """The contract of a restorer, plain and guided."""

    num_outputs = 1
    bfloat16_tolerance = 0.1
    # A restorer of mmspd accepts any size; a restorer of another project may not.
    sizes = ((32, 32), (35, 45), (9, 70), (1, 3))
    compiled_sizes = ((35, 45),)

    @pytest.fixture(params=['plain', 'guided'])
    def network(self, request):
        return self.build(request.param)

    def test_any_size_in_same_size_out(self, network):
        for size in self.sizes:
            with torch.no_grad():
                outs = as_list(network(image(*size, batch=2)))
            assert len(outs) == self.num_outputs
            assert outs[-1].shape == (2, 3, *size)
            assert all(torch.isfinite(out).all() for out in outs)

    @pytest.mark.slow
    def test_every_parameter_gets_a_gradient(self, network):
        gradients = backward(network, image())
        dead = [name for name, grad in gradients.items() if grad.abs().sum() == 0]
        assert not dead

    @pytest.mark.slow
    def test_two_forwards_then_backward(self, network):
        both = backward(network, image(32, 32), image(64, 32))
        first, second = backward(network, image(32, 32)), backward(network, image(64, 32))
        for name, grad in both.items():
            torch.testing.assert_close(grad, first[name] + second[name], rtol=1e-3, atol=1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize('kind', ['plain', 'guided'])
    def test_checkpointing_keeps_the_gradients(self, kind):
        network = self.build(kind)
        expected = backward(network, image(32, 32), image(64, 32))
        recomputing = [m for m in network.modules() if hasattr(m, 'with_cp')]
        if not recomputing:  # a plain restorer of another project has no with_cp
            assert kind == 'plain'
            assert self.seams is not None
            return
        for module in recomputing:
            module.with_cp = True
        for name, grad in backward(network, image(32, 32), image(64, 32)).items():
            torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-7)

    @pytest.mark.slow
    def test_autocast_bfloat16(self, network):
        img = image()
        with torch.autocast('cpu', torch.bfloat16):
            outs = as_list(network(img))
            sum(out.float().mean() for out in outs).backward()
        with torch.no_grad():
            expected = as_list(network(img))[-1]
        assert (outs[-1].float() - expected).abs().max() < self.bfloat16_tolerance
        assert all(out.dtype == torch.float32 for out in outs)
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)

    @pytest.mark.slow
    def test_channels_last(self, network):
        img = image()
        unit_gain(network)
        with torch.no_grad():
            expected = as_list(network(img))[-1]
            network.to(memory_format=torch.channels_last)
            got = as_list(network(img.contiguous(memory_format=torch.channels_last)))[-1]
        check_equal_in_float32(got, expected)

    @pytest.mark.slow
    @pytest.mark.parametrize('kind', ['guided'])  # its graph contains the plain restorer
    def test_compiles_to_one_graph(self, kind):
        network = unit_gain(self.build(kind))
        torch._dynamo.reset()
        compiled = torch.compile(network, fullgraph=True, backend='eager')
        for size in self.compiled_sizes:
            img = image(*size)
            with torch.no_grad():
                expected = as_list(network(img))[-1]
                check_equal_in_float32(as_list(compiled(img))[-1], expected)

    @pytest.mark.slow
    @pytest.mark.parametrize('kind', ['guided'])  # its graph contains the plain restorer
    def test_exports(self, kind):
        network = unit_gain(self.build(kind))
        img = image(*self.odd)
        exported = torch.export.export(network, (img,)).module()
        with torch.no_grad():
            expected = as_list(network(img))[-1]
            check_equal_in_float32(as_list(exported(img))[-1], expected)

    def test_guided_keeps_the_restorers_keys(self):
        plain = build_model(self.restorer).state_dict()
        guided = guide(self.restorer, self.seams, prior=self.prior)
        assert list(guided.restorer.state_dict()) == list(plain)
        inside = [k for k in guided.state_dict() if k.startswith('restorer.')]
        assert inside == [f'restorer.{key}' for key in plain]
        children = {name for name, _ in guided.named_children()}
        assert children == {'restorer', 'prior', 'embedding'}


class OwnRestorerContract(RestorerContract):
    """Additional contract of the restorers of mmspd."""

    #: Arguments, parameters, 10^9 multiply-accumulates at 256x256, tensors of the state dict.
    official_sizes: list
    #: Side of an image that the restorer pads to 256 pixels.
    official_side = 256
    #: Changes of `restorer`; each variant is compared with the reference.
    variants = ({},)

    def reference(self, weights, img, cfg):
        """Outputs of the official forward pass, computed with functional calls only."""
        raise NotImplementedError

    def test_numerics_and_names_are_the_official_ones(self):
        for changes in self.variants:
            cfg = dict(self.restorer, **changes)
            network = unit_gain(build_model(cfg).double().eval())
            weights = Weights(network.state_dict())
            img = image(32, 48, batch=2).double()
            given = img.clone()
            with torch.no_grad():
                expected, outputs = self.reference(weights, img, cfg), network(img)
            assert torch.equal(img, given)
            assert len(outputs) == len(expected)
            for output, reference in zip(outputs, expected):
                allowed = TOLERANCE * reference.abs().max().item()
                torch.testing.assert_close(output, reference, rtol=0, atol=allowed)
            assert weights.read == set(weights.state)

    @pytest.mark.slow
    def test_official_sizes(self):
        for arguments, parameters, gmac, tensors in self.official_sizes:
            with torch.device('meta'):
                network = build_model(dict(type=self.restorer['type'], **arguments))
            cost = cost_of(network, self.official_side, self.official_side)
            assert cost.parameters == parameters
            assert len(network.state_dict()) == tensors
            assert cost.macs / 1e9 == pytest.approx(gmac, rel=2e-4)

    def test_no_fuse_is_the_default(self):
        plain, img = self.build('plain'), image(*self.odd)
        with torch.no_grad():
            for a, b in zip(as_list(plain(img)), as_list(plain(img, fuse=no_fuse))):
                assert torch.equal(a, b)

    def test_each_declared_seam_runs_once_and_its_result_is_used(self):
        plain, img = self.build('plain'), image(32, 32)
        seen = []

        def record(seam, dec):
            seen.append(seam)
            return dec

        with torch.no_grad():
            expected = as_list(plain(img, record))[-1]
            assert seen == list(plain.seams)
            for name in plain.seams:
                got = plain(img, lambda seam, dec, name=name: dec * (0.5 if seam == name else 1))
                assert not torch.equal(as_list(got)[-1], expected)

    def test_outputs_last_is_a_tensor(self):
        img = image(*self.odd)
        torch.manual_seed(0)
        every = build_model(self.restorer).eval()
        last = build_model(dict(self.restorer, outputs='last')).eval()
        last.load_state_dict(every.state_dict())
        with torch.no_grad():
            assert torch.equal(last(img), every(img)[-1])


class Weights:
    """A state dict with functional layers for a reference; records the names that are read."""

    def __init__(self, state):
        self.state, self.read = state, set()

    def __contains__(self, name):
        return name in self.state

    def __getitem__(self, name):
        self.read.add(name)
        return self.state[name]

    def layer(self, name):
        """Weight and bias; the bias may be ``None``."""
        biases = [self[f'{name}.bias']] if f'{name}.bias' in self else [None]
        return self[f'{name}.weight'], *biases

    def conv(self, x, name, stride=1):
        weight, bias = self.layer(name)
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def deconv(self, x, name):
        """A transposed convolution that doubles the size."""
        return F.conv_transpose2d(x, *self.layer(name), stride=2, padding=1)

    def double(self, x):
        return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)

    def stage_block(self, x, name):
        """Residual block of MPRNet and MSSNet, with channel attention if it has weights."""
        y = F.prelu(self.conv(x, f'{name}.body.0'), self[f'{name}.body.1.weight'])
        y = self.conv(y, f'{name}.body.2')
        if f'{name}.CA.conv_du.0.weight' in self:
            gate = self.conv(F.adaptive_avg_pool2d(y, 1), f'{name}.CA.conv_du.0').relu()
            y = y * torch.sigmoid(self.conv(gate, f'{name}.CA.conv_du.2'))
        return x + y

    def stage_blocks(self, x, name):
        return self.stage_block(self.stage_block(x, f'{name}.0'), f'{name}.1')

    def shallow(self, x, stage):
        x = self.conv(x, f'shallow_feat{stage}.0')
        return self.stage_block(x, f'shallow_feat{stage}.1')

    def encode(self, x, name, previous=None):
        """Encoder of MPRNet and MSSNet, fine to coarse; `previous`: features of another U-Net."""
        features = []
        for level in (1, 2, 3):
            if level > 1:
                x = self.conv(F.avg_pool2d(x, 2), f'{name}.down{level - 1}{level}.down.1')
            x = self.stage_blocks(x, f'{name}.encoder_level{level}')
            if previous is not None:
                for part, levels in zip(('enc', 'dec'), previous):
                    x = x + self.conv(levels[level - 1], f'{name}.csff_{part}{level}')
            features.append(x)
        return features

    def decode(self, features, name):
        """Decoder of MPRNet and MSSNet, fine to coarse."""
        x, decoded = features[2], []
        for level in (3, 2, 1):
            if level < 3:
                x = self.conv(self.double(x), f'{name}.up{level + 1}{level}.up.1')
                x = x + self.stage_block(features[level - 1], f'{name}.skip_attn{level}')
            x = self.stage_blocks(x, f'{name}.decoder_level{level}')
            decoded.insert(0, x)
        return decoded


@functools.cache
def tested_restorers():
    """The first test class of every restorer by its type, from test_models/test_restorers."""
    classes = {}
    for path in sorted(Path(__file__).parent.glob('test_models/test_restorers/test_*.py')):
        spec = importlib.util.spec_from_file_location(f'restorers_{path.stem}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if isinstance(value, type) and hasattr(value, 'restorer'):
                classes.setdefault(value.restorer['type'], value)
    return classes


def make_small(restorer):
    """Reduce a recipe's restorer to the width and depth of its tests."""
    tests = tested_restorers()[restorer['type']]
    small = tests.restorer if tests.small is None else tests.small
    restorer.update({key: value for key, value in small.items() if key != 'type'})


def shrink_teacher(model):
    """Replace TResNet-L by a network of the same strides that is quick to build."""
    backbone = (model.get('teacher') or {}).get('backbone', {})
    if backbone.get('model_name') == 'tresnet_l':
        backbone.model_name = 'resnet10t'
        model.teacher.channels = (64, 128, 256)
