"""Every restorer on the device, in every precision, against the CPU's result in float64."""

import functools

import pytest
import restorer_contract
import torch
from unit_gain import unit_gain

from mmspd.models.guided import as_list
from mmspd.utils.precision import autocast

pytestmark = pytest.mark.cuda

SIZE = (35, 45)
#: Largest errors of the outputs, of all gradients, and of the gradients of one parameter, as in
#: :func:`errors`. Without TF32, the errors on the CPU are at most a third of them.
TOLERANCES = {
    'float32': (1e-4, 5e-3, 2e-2),
    'channels_last': (1e-4, 5e-3, 2e-2),
    'bfloat16': (0.1, 0.2, 0.5),
    'float16': (0.015, 0.05, 0.25),
}
#: Changes of a restorer for half precision. On so few pixels, DeblurGAN-v2's statistics of an image
#: amplify rounding errors of this size to any size.
IN_HALF = {'mmspd.DeblurGANv2': dict(stats='running')}
#: Keeps the gradients of float16 above its smallest numbers, as a loss scaler does.
LOSS_SCALE = 1024.0


def network_of(restorer, kind, changes):
    tests = restorer_contract.tested_restorers()[restorer]()
    tests.restorer = dict(tests.restorer, **changes)
    return unit_gain(tests.build(kind))


def results(network, img, precision='float32', sizes=None):
    """Return the outputs and gradients in float64 on the CPU, and the mean squares of the outputs.

    Args:
        network: The network, on the device of ``img``.
        img: Its input.
        precision: Precision of the forward pass.
        sizes: Mean squares by which the loss divides those of the outputs; by default their own.
    """
    with autocast(img.device, precision):
        outputs = as_list(network(img))
    squares = [output.to(network_dtype(network)).square().mean() for output in outputs]
    sizes = [square.item() for square in squares] if sizes is None else sizes
    loss = LOSS_SCALE * sum(square / size for square, size in zip(squares, sizes))
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    tensors = [[t.detach().cpu().double() for t in part] for part in (outputs, gradients)]
    return *tensors, sizes


def network_dtype(network):
    return next(network.parameters()).dtype


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


@functools.lru_cache(maxsize=1)
def reference(restorer, kind, changes=()):
    """Return the results of a restorer on the CPU in float64."""
    return results(
        network_of(restorer, kind, dict(changes)).double(), restorer_contract.image(*SIZE).double()
    )


@pytest.mark.parametrize('form', TOLERANCES)
@pytest.mark.parametrize('kind', ['plain', 'guided'])
@pytest.mark.parametrize('restorer', restorer_contract.tested_restorers())
def test_outputs_and_gradients(device, restorer, kind, form):
    half = form in ('bfloat16', 'float16')
    changes = IN_HALF.get(restorer, {}) if half else {}
    expected = reference(restorer, kind, tuple(changes.items()))
    network, img = (
        network_of(restorer, kind, changes).to(device),
        restorer_contract.image(*SIZE).to(device),
    )
    if form == 'channels_last':
        network, img = (part.to(memory_format=torch.channels_last) for part in (network, img))
    got = results(network, img, form if half else 'float32', expected[-1])
    found = errors(got, expected)
    # in this order, the comparison fails for errors that are nan
    assert all(error <= allowed for error, allowed in zip(found, TOLERANCES[form])), found
