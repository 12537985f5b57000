"""Mutations of a network: each removes one block or changes one operation.

A test that compares outputs sees an error only if the error changes the outputs. :func:`effects`
measures the change of the outputs for every block and for many operations.
"""

import contextlib
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from mmspd.models.guided import as_list


@contextlib.contextmanager
def removed(block):
    """Replace the results of a module by an input of the same shape, or else by zeros.

    The attribute ``changed`` of the yielded object tells whether a result changed. It stays false
    for a module that does not run, or that returns its input, such as a dropout.
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


def _other_modes(resize, args, kwargs, inputs):
    if kwargs['mode'] == 'nearest':
        changes = [dict(mode='bilinear')]
    else:
        changes = [
            dict(mode='nearest', align_corners=None),
            dict(align_corners=not kwargs['align_corners']),
        ]
    return [lambda change=change: resize(*args, **dict(kwargs, **change)) for change in changes]


def _single_terms(function, args, kwargs, inputs):
    """The terms of a sum or product of two tensors, each alone.

    The input of the running block is left out: the removal of the block has the same result.
    """
    if not all(isinstance(term, Tensor) for term in args):
        return []
    shape = torch.broadcast_shapes(*[term.shape for term in args])
    return [
        term.clone
        for term in args
        if term.shape == shape and not any(term is given for given in inputs)
    ]


#: Wrong results of operations: another order, another mode, a missing term, a constant gate.
WRONG = {
    'cat': lambda cat, args, kwargs, inputs: [lambda: cat(args[0][::-1], *args[1:], **kwargs)],
    'interpolate': _other_modes,
    'add': _single_terms,
    'mul': _single_terms,
    'sigmoid': lambda sigmoid, args, kwargs, inputs: [lambda: torch.full_like(args[0], 0.5)],
}


class Operations(TorchFunctionMode):
    """Numbers the wrong results of the operations of a network, and uses one of them.

    Args:
        network: The network.
        used: Number of the wrong result to use, or ``None``.

    Attributes:
        names: Name of each wrong result: the block, the operation and its number.
        changed: Whether the used result differs from the right one.
    """

    def __init__(self, network, used=None):
        super().__init__()
        self.blocks = {block: name for name, block in network.named_modules()}
        self.used, self.names, self.changed, self.running = used, [], False, []

    def __enter__(self):
        self.handles = [
            hooks.register_module_forward_pre_hook(self._start),
            hooks.register_module_forward_hook(self._stop),
        ]
        return super().__enter__()

    def _start(self, block, args):
        self.running.append((self.blocks.get(block, type(block).__name__), args))

    def _stop(self, block, args, result):
        self.running.pop()

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        return super().__exit__(*error)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        block, inputs = self.running[-1]
        for wrong in WRONG.get(function.__name__, lambda *_: [])(function, args, kwargs, inputs):
            number = len(self.names)
            self.names.append(f'{block} ({function.__name__} {number})')
            if number == self.used:
                result, right = wrong(), function(*args, **kwargs)
                self.changed = not torch.equal(result, right)
                return result
        return function(*args, **kwargs)


@torch.no_grad()
def effects(network, img, within=''):
    """Measure the effect of removing each block and of changing operations, one by one.

    Args:
        network: A network that returns an image or a list of images.
        img: Its input.
        within: Beginning of the names of the blocks to change; all by default.

    Returns:
        The largest change of an output by the name of the mutation, as a share of the largest value
        of this output. Mutations without a change inside the network are left out.
    """
    expected = as_list(network(img))

    def effect(mutation):
        with mutation as applied:
            outputs = as_list(network(img))
        changes = [(a - b).abs().max() / b.abs().max() for a, b in zip(outputs, expected)]
        return torch.stack(changes).max().item() if applied.changed else None

    with Operations(network) as operations:
        network(img)
    found = {
        name: effect(removed(block))
        for name, block in network.named_modules()
        if name and name.startswith(within)
    }
    for number, name in enumerate(operations.names):
        if name.startswith(within):
            found[name] = effect(Operations(network, number))
    return {name: size for name, size in found.items() if size is not None}
