"""Seams: the named places in a restorer where the prior enters.

A restorer of mmspd has the signature ``forward(img, fuse=no_fuse)``. At each seam, the restorer
adds its own skip connection first. Then it calls ``fuse`` (a :class:`FuseFn`) with the name of the
seam and the decoder feature. :class:`HookSeams` adds this signature to other restorers.
"""

import difflib
import inspect
import math
from typing import Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence, Union, cast

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.any_size import SizeLimits, accept_any_size
from mmspd.models.layers.shape_inference import shapes_only
from mmspd.registry import MODELS, build_model

__all__ = ['FuseFn', 'HookSeams', 'Probe', 'Seam', 'no_fuse', 'probe_seams', 'takes_fuse']

PROBE_SIDE = 128  # of the probe image


class FuseFn(Protocol):
    """The signature of a function that is called at every seam."""

    def __call__(self, seam: str, dec: Tensor) -> Tensor:
        """Fuse the prior into the decoder feature at a seam.

        Args:
            seam: Name of the seam.
            dec: Decoder feature ``(N, C, H, W)`` after the skip connection of the restorer:
                ``f_de + f_en`` of Eq. 6.

        Returns:
            The feature ``(N, C, H, W)`` with which the decoder continues.
        """


def no_fuse(seam: str, dec: Tensor) -> Tensor:
    """Return the decoder feature unchanged, so that a restorer runs without a prior."""
    return dec


class Seam(NamedTuple):
    """Channels and stride of the feature at a seam.

    Attributes:
        channels: Number of channels.
        stride: Pixels of the image per pixel of the feature, in each direction.
    """

    channels: int
    stride: int


class Probe(NamedTuple):
    """The seams and the size multiple of a restorer.

    Attributes:
        seams: A dict from the name of each seam to its channels and stride.
        multiple: The restorer pads its input to a multiple of this size; 1 if it does not pad.
        smallest: The restorer pads its input at least to this size.
    """

    seams: Dict[str, Seam]
    multiple: int
    smallest: int


class _Recorder:
    """A ``fuse`` that records the shape of the feature at every seam."""

    def __init__(self) -> None:
        self.shapes: Dict[str, List[torch.Size]] = {}

    def __call__(self, seam: str, dec: Tensor) -> Tensor:
        if not isinstance(dec, Tensor) or dec.dim() != 4:
            shape = f'a tensor of shape {tuple(dec.shape)}' if isinstance(dec, Tensor) else ''
            raise UserError(
                f'The input at seam {seam!r} is {shape or type(dec).__name__}, not an (N, C, H, W) '
                'feature map; choose a module with a feature map as its first input.'
            )
        self.shapes.setdefault(seam, []).append(dec.shape)
        return dec


def takes_fuse(restorer: nn.Module) -> bool:
    """Return whether a restorer defines its own seams, with a ``fuse`` argument in ``forward``.

    Args:
        restorer: A restorer module.

    Returns:
        True if ``forward`` has the argument ``fuse``.
    """
    return 'fuse' in inspect.signature(restorer.forward).parameters


def _record_shapes(restorer: nn.Module, side: int) -> Dict[str, List[torch.Size]]:
    """Run a restorer on a square meta image and return the shapes of the features at each seam."""
    recorder = _Recorder()
    with shapes_only(restorer):
        restorer(torch.empty(1, 3, side, side, device='meta'), fuse=recorder)
    return recorder.shapes


def _size_multiple(
    restorer: nn.Module, seams: Dict[str, Seam], shapes: Dict[str, List[torch.Size]]
) -> int:
    """Return the multiple to which the restorer pads its input, or 1 if it does not pad.

    Args:
        restorer: The restorer.
        seams: Its seams.
        shapes: Shapes at the seams for an image of ``PROBE_SIDE`` pixels.
    """

    def padded(shapes: Dict[str, List[torch.Size]]) -> int:
        return max(shapes[name][0][-2] * seam.stride for name, seam in seams.items())

    first = padded(shapes)
    return max(1, padded(_record_shapes(restorer, first + 1)) - first)


def probe_seams(restorer: nn.Module, names: Optional[Sequence[str]] = None) -> Probe:
    """Find the channels and strides at the seams of a restorer, without computing any values.

    The restorer runs on the meta device with images of about 128x128 pixels.

    Args:
        restorer: A module whose ``forward`` has the argument ``fuse``. It must accept any size.
        names: Names of the seams to return; ``None`` for all seams.

    Returns:
        A :class:`Probe`. Its seams are in the order of ``names``, or in the order of execution for
        ``None``. Its ``multiple`` is 1 if the restorer does not pad its input.

    Raises:
        UserError: A seam does not exist, never runs, or runs more than once in a forward pass.

    Examples:
        >>> from mmspd.models.seams import probe_seams
        >>> from mmspd.registry import build_model
        >>> probe = probe_seams(build_model(dict(type='mmspd.UNet')), ['dec2', 'dec1'])
        >>> probe.seams['dec2']
        Seam(channels=64, stride=2)
        >>> probe.multiple
        4
    """
    if names is not None and not names:
        raise UserError(
            'The list seams is empty; name at least one seam, or remove seams to use all.'
        )
    limits: SizeLimits = getattr(restorer, 'size_limits', SizeLimits())
    shapes = _record_shapes(restorer, PROBE_SIDE)
    names = list(shapes) if names is None else list(names)
    usable = [name for name, inputs in shapes.items() if len(inputs) == 1]
    for name in names:
        if name not in shapes:
            raise UserError(
                f'Seam {name!r} does not exist in {type(restorer).__name__}; use one of '
                f'{", ".join(usable)}.'
            )
        if name not in usable:
            raise UserError(
                f'Seam {name!r} of {type(restorer).__name__} runs {len(shapes[name])} times in one '
                f'forward pass, but must run once; use a seam that runs once (available: '
                f'{", ".join(usable) or "none"}).'
            )
    seams = {
        # a padded image has a few more pixels than the probe image
        name: Seam(shapes[name][0][1], max(1, round(PROBE_SIDE / shapes[name][0][-2])))
        for name in names
    }
    multiple = math.lcm(_size_multiple(restorer, seams, shapes), limits.multiple)
    return Probe(seams, multiple, limits.smallest)


class _Inject:
    """The forward pre-hook of one seam: passes the module's first input through ``fuse``."""

    def __init__(self, owner: 'HookSeams', seam: str) -> None:
        # In a deep copy of the owner, the copied hook refers to the copied owner.
        self.owner = (owner,)
        self.seam = seam

    def __call__(self, module: nn.Module, inputs: tuple) -> tuple:
        owner = self.owner[0]
        if owner._fuse is None:
            raise RuntimeError(
                f'Seam {self.seam!r} ran outside HookSeams.forward; apply activation checkpointing '
                'to HookSeams (with_cp=True), not to the wrapped restorer.'
            )
        return (owner._fuse(self.seam, inputs[0]), *inputs[1:])


@MODELS.register_module()
class HookSeams(BaseModule):
    """Adds ``forward(img, fuse=no_fuse)`` to a restorer that does not define seams.

    A seam is the first input of a module of the restorer. The name of the seam is the name of the
    module. The state dict has the same keys as the state dict of the bare restorer. Without
    ``fuse``, the output equals the output of the bare restorer. An image of a size that the bare
    restorer refuses is padded, see :func:`~mmspd.models.layers.any_size.accept_any_size`.

    Args:
        restorer: Config or module that maps ``(N, 3, H, W)`` to ``(N, 3, H, W)`` or to a list of
            images.
        seams: Names of the modules whose first inputs are the seams.
        with_cp: Recompute the activations in the backward pass to save memory.

    Attributes:
        seams: Names of the seams.

    Raises:
        UserError: A module does not exist, never runs, or runs more than once in a forward pass; or
            the restorer changes the size of the image.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from mmspd.models.seams import HookSeams
        >>> _ = torch.manual_seed(0)
        >>> layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)]
        >>> hooked = HookSeams(nn.Sequential(*layers), ['1'])
        >>> img = torch.rand(1, 3, 16, 16)
        >>> hooked(img).shape
        torch.Size([1, 3, 16, 16])
        >>> torch.equal(hooked(img, fuse=lambda seam, dec: dec * 2), hooked(img))
        False
    """

    def __init__(
        self,
        restorer: Union[dict, nn.Module],
        seams: Sequence[str],
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.restorer = build_model(restorer)
        accept_any_size(self.restorer)
        self.with_cp = with_cp
        self._fuse: Optional[FuseFn] = None
        self.seams = tuple(seams)
        for name in self.seams:
            self._module(name).register_forward_pre_hook(_Inject(self, name))
        self._check_seams_run()
        self._register_state_dict_hook(_strip_prefix)
        self._register_load_state_dict_pre_hook(_add_prefix, with_module=True)

    @property
    def size_limits(self) -> SizeLimits:
        """The image sizes that the bare restorer accepts."""
        return self.restorer.size_limits

    def _module(self, name: str) -> nn.Module:
        modules = dict(self.restorer.named_modules())
        if name not in modules or not name:
            close = difflib.get_close_matches(name, list(modules), n=8, cutoff=0.6)
            raise UserError(
                f'Module {name!r} does not exist in {type(self.restorer).__name__}; use one of '
                f'{", ".join(close or _usable_modules(self))}.'
            )
        return modules[name]

    def _check_seams_run(self) -> None:
        counts = {name: len(inputs) for name, inputs in _record_shapes(self, PROBE_SIDE).items()}
        for name in self.seams:
            times = counts.get(name, 0)
            if times != 1:
                once = _usable_modules(self)
                raise UserError(
                    f'Seam {name!r} of {type(self.restorer).__name__} runs {times} times in one '
                    f'forward pass, but must run once; use one of {", ".join(once)}.'
                )

    def forward(self, img: Tensor, fuse: FuseFn = no_fuse) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: Blurry image ``(N, 3, H, W)``, RGB, [0, 1], any H and W.
            fuse: Function that is called at every seam.

        Returns:
            The output of the bare restorer.
        """
        return checkpointed(self.with_cp, self._forward, img, fuse)

    def _forward(self, img: Tensor, fuse: FuseFn) -> Union[Tensor, List[Tensor]]:
        self._fuse = fuse
        try:
            return self.restorer(img)
        finally:
            self._fuse = None


def _strip_prefix(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    """Rename the parameters in a state dict to their names in the bare restorer."""
    inner = prefix + 'restorer.'
    for key in [key for key in state if key.startswith(inner)]:
        state[prefix + key[len(inner) :]] = state.pop(key)


def _add_prefix(module: nn.Module, state: dict, prefix: str, *_: object) -> None:
    """Undo :func:`_strip_prefix` before a state dict is loaded."""
    restorer = cast(HookSeams, module).restorer
    own = [name for name in restorer.state_dict() if prefix + name in state]
    for name in own:
        state[f'{prefix}restorer.{name}'] = state.pop(prefix + name)


def _usable_modules(owner: HookSeams, most: int = 16) -> List[str]:
    """List modules that run exactly once on a feature map, in reverse order of execution.

    Only direct children of the restorer and the children of these are listed.

    Returns:
        Phrases such as ``decoders.1 (stride 4)``.
    """
    strides: Dict[str, List[int]] = {}

    def note(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
                strides.setdefault(name, []).append(max(1, round(PROBE_SIDE / inputs[0].shape[-2])))

        return hook

    handles = [
        module.register_forward_pre_hook(note(name), prepend=True)
        for name, module in owner.restorer.named_modules()
        if name.count('.') <= 1 and name
    ]
    try:
        with shapes_only(owner):
            owner(torch.empty(1, 3, PROBE_SIDE, PROBE_SIDE, device='meta'))
    finally:
        for handle in handles:
            handle.remove()
    once = [f'{name} (stride {each[0]})' for name, each in strides.items() if len(each) == 1]
    return once[::-1][:most]
