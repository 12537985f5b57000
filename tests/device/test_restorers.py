"""Every restorer on the device, in every precision, against the CPU's results in float64."""

import functools

import pytest
import restorer_contract
import torch
from mutations import Operations, removed
from unit_gain import unit_gain

from mmspd.models.guided import as_list
from mmspd.utils.precision import autocast

pytestmark = pytest.mark.cuda

RESTORERS = restorer_contract.tested_restorers()
IMAGE = restorer_contract.image(35, 45)
#: Largest errors of the outputs, of all gradients, and of the gradient of one parameter; see
#: :func:`errors`.
TOLERANCES = {
    'float32': (1e-4, 0.01, 0.1),
    'channels_last': (1e-4, 0.01, 0.1),
    'float16': (0.015, 0.05, 0.3),
    'bfloat16': (0.1, 0.2, 0.8),
}
#: Changes of a restorer for half precision. On so few pixels, DeblurGAN-v2's statistics of an image
#: amplify rounding errors of this size to any size.
IN_HALF = {'mmspd.DeblurGANv2': dict(stats='running')}
#: Keeps the gradients of float16 above its smallest numbers, as a loss scaler does.
LOSS_SCALE = 1024.0


def network_of(restorer, kind, changes):
    tests = RESTORERS[restorer]()
    tests.restorer = dict(tests.restorer, **changes)
    return unit_gain(tests.build(kind))


def results(network, img, precision='float32', sizes=None):
    """Run a network forward and backward.

    Args:
        network: The network, on the device of ``img``.
        img: Its input.
        precision: Precision of the forward pass.
        sizes: Mean squares by which the loss divides those of the outputs; by default their own.

    Returns:
        The outputs and the gradients in float64 on the CPU, and the mean squares of the outputs.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    with autocast(img.device, precision):
        outputs = as_list(network(img))
    squares = [output.to(parameters[0].dtype).square().mean() for output in outputs]
    sizes = sizes or [square.item() for square in squares]
    loss = LOSS_SCALE * sum(square / size for square, size in zip(squares, sizes))
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    tensors = [[t.detach().cpu().double() for t in part] for part in (outputs, gradients)]
    return *tensors, sizes


def errors(got, expected):
    """Return the errors of outputs, of all gradients, and of the worst parameter, as shares.

    Every error is a Euclidean norm, as a share of the norm of the right values. The right gradient
    of a parameter counts as at least 1e-4 of the largest one, because some are zero.
    """
    (outputs, gradients), (right_outputs, right_gradients) = got[:2], expected[:2]
    off, size = distances(outputs, right_outputs), norms(right_outputs)
    off_each, size_each = distances(gradients, right_gradients), norms(right_gradients)
    each = off_each / size_each.clamp(min=1e-4 * size_each.max().item())
    return (off / size).max().item(), (off_each.norm() / size_each.norm()).item(), each.max().item()


def norms(tensors):
    return torch.stack([tensor.norm() for tensor in tensors])


def distances(tensors, others):
    return norms([tensor - other for tensor, other in zip(tensors, others, strict=True)])


def exceeds(found, form):
    """Return whether an error is larger than the tolerance, or not a number."""
    return not all(error <= allowed for error, allowed in zip(found, TOLERANCES[form]))


@functools.lru_cache(maxsize=1)
def reference(restorer, kind, changes=()):
    """Return a restorer on the CPU in float64, and its results."""
    network = network_of(restorer, kind, dict(changes)).double()
    return network, results(network, IMAGE.double())


@pytest.mark.parametrize('form', TOLERANCES)
@pytest.mark.parametrize('kind', ['plain', 'guided'])
@pytest.mark.parametrize('restorer', RESTORERS)
def test_outputs_and_gradients(device, restorer, kind, form):
    half = form in ('bfloat16', 'float16')
    changes = IN_HALF.get(restorer, {}) if half else {}
    _, expected = reference(restorer, kind, tuple(changes.items()))
    network, img = network_of(restorer, kind, changes).to(device), IMAGE.to(device)
    if form == 'channels_last':
        network, img = (part.to(memory_format=torch.channels_last) for part in (network, img))
    found = errors(results(network, img, form if half else 'float32', expected[-1]), expected)
    assert not exceeds(found, form), found


@pytest.mark.parametrize('restorer', RESTORERS)
def test_a_missing_block_exceeds_the_tolerances(restorer):
    """Remove three blocks with parameters, one by one, and use the largest tolerances."""
    (network, expected), img = reference(restorer, 'guided'), IMAGE.double()
    with torch.no_grad(), Operations(network) as operations:
        network(img)
    blocks = [
        (name, block)
        for name, block in network.named_modules()
        if block in operations.ran and next(block.parameters(recurse=False), None) is not None
    ]
    step = len(blocks) // 3
    for name, block in blocks[step // 2 :: step][:3]:
        with removed(block):
            found = errors(results(network, img, sizes=expected[-1]), expected)
        assert exceeds(found, 'bfloat16'), (name, found)
