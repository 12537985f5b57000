"""Mutations of a network: each removes one block or changes one operation.

A test that compares outputs sees an error only if the error changes the outputs. :func:`effects`
measures the change of the outputs for every block and for many operations.
"""

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from mmspd.models.guided import as_list

PYTORCH = str(Path(torch.__file__).parent)


@contextlib.contextmanager
def removed(block):
    """Replace the results of a module by an input of the same shape, or else by zeros.

    The attribute ``changed`` of the yielded object tells whether a result changed. It stays false
    for a module that returns its input, such as a dropout.
    """
    mutation = SimpleNamespace(changed=False)
    forward = block.forward

    def passing(*args, **kwargs):
        inputs = [x.clone() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]

        def replace(result):
            same = [x for x in inputs if x.shape == result.shape]
            other = same[0] if same else torch.zeros_like(result)
            mutation.changed |= not torch.equal(other, result)
            return other

        return tree_map_only(Tensor, replace, forward(*args, **kwargs))

    with mock.patch.object(block, 'forward', passing):
        yield mutation


def _rotated(tensors):
    return [*tensors[1:], tensors[0]]


def _other_order(cat, inputs, tensors, *args, **kwargs):
    return {0: lambda: cat(_rotated(tensors), *args, **kwargs)}


def _other_order_of_parts(chunk, inputs, *args, **kwargs):
    """At least three parts: two are often the factors of a product, which have no order."""
    parts = chunk(*args, **kwargs)
    return {0: lambda: _rotated(parts)} if len(parts) > 2 else {}


def _other_modes(resize, inputs, x, **kwargs):
    if kwargs['mode'] == 'nearest':
        changes = [dict(mode='bilinear')]
    else:
        corners = not kwargs['align_corners']
        changes = [dict(mode='nearest', align_corners=None), dict(align_corners=corners)]
    return {
        number: lambda change=change: resize(x, **dict(kwargs, **change))
        for number, change in enumerate(changes)
    }


def _single_terms(function, inputs, *args, **kwargs):
    """The terms of a sum, product, difference or quotient, each alone.

    The input of the running block is left out: the removal of the block has the same result.
    """
    terms = {number: term for number, term in enumerate(args) if isinstance(term, Tensor)}
    if not all(term.is_floating_point() for term in terms.values()):
        return {}
    shape = torch.broadcast_shapes(*[term.shape for term in terms.values()])
    return {
        number: term.clone
        for number, term in terms.items()
        if term.shape == shape and not any(term is given for given in inputs)
    }


def _half(sigmoid, inputs, x):
    return {0: lambda: torch.full_like(x, 0.5)}


#: Wrong results of an operation, as numbered functions, by the name of the operation.
WRONG = {
    'cat': _other_order,
    'chunk': _other_order_of_parts,
    'split': _other_order_of_parts,
    'interpolate': _other_modes,
    'sigmoid': _half,
    **dict.fromkeys(('add', 'sub', 'rsub', 'mul', 'div'), _single_terms),
}


def _calling_line(frame):
    """The frame outside of PyTorch that called an operation."""
    while frame.f_code.co_filename.startswith(PYTORCH):
        frame = frame.f_back
    return frame


class Operations(TorchFunctionMode):
    """Numbers the wrong results of the operations of a network, and uses one of them.

    An operation is a place in the code and a block. If it runs several times, as in a loop over
    scales, all its results are changed together.

    Args:
        network: The network.
        used: Key of the wrong result to use, or ``None``.

    Attributes:
        names: Name of each wrong result by its key. A name has the block, the operation, a number
            and the line of code.
        ran: The modules that ran.
        changed: Whether the used result differs from the right one.
    """

    def __init__(self, network, used=None):
        super().__init__()
        self.blocks = {block: name for name, block in network.named_modules()}
        self.used, self.names, self.ran, self.changed = used, {}, set(), False
        self.running = []  # names and inputs; the network itself is not removed

    def __enter__(self):
        self.handles = [
            hooks.register_module_forward_pre_hook(self._start),
            hooks.register_module_forward_hook(self._stop),
        ]
        return super().__enter__()

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        return super().__exit__(*error)

    def _start(self, block, args):
        self.ran.add(block)
        self.running.append((self.blocks.get(block, '?'), args if self.running else ()))

    def _stop(self, block, args, result):
        self.running.pop()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        operation, (block, inputs) = function.__name__.strip('_'), self.running[-1]
        if operation in WRONG:
            line = _calling_line(sys._getframe(1))
            for number, wrong in WRONG[operation](function, inputs, *args, **kwargs).items():
                key = (block, line.f_code, line.f_lasti, operation, number)
                if key not in self.names:
                    place = f'{Path(line.f_code.co_filename).name}:{line.f_lineno}'
                    self.names[key] = f'{block} ({operation} {len(self.names)}, {place})'
                if key == self.used:
                    result, right = wrong(), function(*args, **kwargs)
                    pairs = zip(tree_leaves(result), tree_leaves(right))
                    self.changed |= not all(torch.equal(a, b) for a, b in pairs)
                    return result
        return function(*args, **kwargs)


@torch.no_grad()
def effects(network, img, within=''):
    """Measure the effect of removing each block and of changing operations, one by one.

    The blocks are all modules that run, except plain sequences, whose blocks are removed one by
    one. A module or operation whose mutation has the right result, such as a dropout, is left out.

    Args:
        network: A network that returns an image or a list of images.
        img: Its input.
        within: Beginning of the names of the blocks to change; all by default.

    Returns:
        The largest change of an output by the name of the mutation, as a share of the largest value
        of this output.
    """
    with Operations(network) as operations:
        expected = as_list(network(img))

    def effect(mutation):
        with mutation as applied:
            outputs = as_list(network(img))
        changes = [(a - b).abs().max() / b.abs().max() for a, b in zip(outputs, expected)]
        return torch.stack(changes).max().item() if applied.changed else None

    found = {
        name: effect(removed(block))
        for name, block in network.named_modules()
        if name.startswith(within)
        and block in operations.ran - {network}
        and type(block).forward is not nn.Sequential.forward
    }
    for key, name in operations.names.items():
        if name.startswith(within):
            found[name] = effect(Operations(network, key))
    return {name: size for name, size in found.items() if size is not None}
