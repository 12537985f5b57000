"""Seams: the named places of a restorer where the prior enters, and nothing else.

A restorer of mmspd takes a :data:`FuseFn` in ``forward(img, fuse=no_fuse)`` and calls it, by name,
on the decoder feature of each level, after its own skip fusion. :class:`HookSeams` gives the same
signature to a restorer that was not written for it. This is the only file with forward hooks.
"""

import difflib
import inspect
from typing import Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence, Union, cast

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.layers.activation_checkpointing import checkpointed
from mmspd.models.layers.shape_inference import shapes_only
from mmspd.registry import MODELS, build_model

__all__ = ['FuseFn', 'HookSeams', 'Probe', 'Seam', 'no_fuse', 'probe_seams', 'takes_fuse']

# Side of the probe image: a multiple of every size multiple in use (4 ... 64).
PROBE_SIDE = 128


class FuseFn(Protocol):
    """Signature of a seam function."""

    def __call__(self, seam: str, dec: Tensor) -> Tensor:
        """Fuse the prior into the decoder feature at a seam.

        Args:
            seam: name of the seam.
            dec: decoder feature ``(N, C, H, W)``, in which the restorer has fused its skip
                connection: ``f_de + f_en`` of Eq. 6.

        Returns:
            The feature that goes on through the decoder, of the shape of ``dec``.
        """


def no_fuse(seam: str, dec: Tensor) -> Tensor:
    """Leave the decoder feature as it is: the restorer without a prior."""
    return dec


class Seam(NamedTuple):
    """Channels and stride of the feature at a seam."""

    channels: int
    stride: int


class Probe(NamedTuple):
    """The seams of a restorer by name, and its size multiple."""

    seams: Dict[str, Seam]
    multiple: int


class _Recorder:
    """A ``fuse`` that notes what comes by."""

    def __init__(self) -> None:
        self.shapes: Dict[str, List[torch.Size]] = {}

    def __call__(self, seam: str, dec: Tensor) -> Tensor:
        if not isinstance(dec, Tensor) or dec.dim() != 4:
            value = tuple(dec.shape) if isinstance(dec, Tensor) else type(dec).__name__
            raise UserError(
                f'Seam {seam!r} carries {value}, not an (N, C, H, W) feature map; choose a module '
                'whose first input is one.'
            )
        self.shapes.setdefault(seam, []).append(dec.shape)
        return dec


def takes_fuse(restorer: nn.Module) -> bool:
    """Tell whether a restorer has seams of its own: a ``fuse`` argument of its forward."""
    return 'fuse' in inspect.signature(restorer.forward).parameters


def _record_shapes(restorer: nn.Module, side: int) -> Dict[str, List[torch.Size]]:
    """Shapes seen at every seam of a square image, by one forward on the meta device."""
    recorder = _Recorder()
    with shapes_only(restorer):
        restorer(torch.empty(1, 3, side, side, device='meta'), fuse=recorder)
    return recorder.shapes


def _size_multiple(restorer: nn.Module, seams: Dict[str, Seam]) -> int:
    """The multiple to which the restorer pads its input, 1 where it does not.

    Restorers of other projects may refuse sizes they do not pad to; their inputs arrive padded.
    """
    try:
        odd = _record_shapes(restorer, PROBE_SIDE + 1)
    except (RuntimeError, ValueError, AssertionError):
        return 1
    padded = max(odd[name][0][-2] * seam.stride for name, seam in seams.items())
    return max(1, padded - PROBE_SIDE)


def probe_seams(restorer: nn.Module, names: Optional[Sequence[str]] = None) -> Probe:
    """Read channels and strides at the seams of a restorer, without computing anything.

    Args:
        restorer: a module whose ``forward`` takes ``fuse``.
        names: the seams that are asked for; all that run where it is ``None``.

    Returns:
        The seams by name, in the order of ``names`` (or of execution), and the size multiple to
        which the restorer pads its input (1 where it does not).

    Raises:
        UserError: a seam does not exist, never runs or runs more than once in a forward.
    """
    if names is not None and not names:
        raise UserError(
            'seams is empty; name the seams that take the prior, or leave it out for all.'
        )
    shapes = _record_shapes(restorer, PROBE_SIDE)
    names = list(shapes) if names is None else list(names)
    usable = [name for name, inputs in shapes.items() if len(inputs) == 1]
    for name in names:
        if name not in shapes:
            raise UserError(
                f'Seam {name!r} does not exist in {type(restorer).__name__}; its seams are '
                f'{", ".join(usable)}.'
            )
        if name not in usable:
            raise UserError(
                f'Seam {name!r} of {type(restorer).__name__} runs {len(shapes[name])} times in one '
                f'forward, so a prior of the whole image does not fit it; seams that run once are '
                f'{", ".join(usable) or "none"}.'
            )
    seams = {name: Seam(shapes[name][0][1], PROBE_SIDE // shapes[name][0][-2]) for name in names}
    return Probe(seams, _size_multiple(restorer, seams))


class _Inject:
    """Forward pre-hook of one seam: hands the module's first input to the current ``fuse``."""

    def __init__(self, owner: 'HookSeams', seam: str) -> None:
        # in a tuple: as an attribute of a hook it is no child, and a deep copy follows its owner
        self.owner = (owner,)
        self.seam = seam

    def __call__(self, module: nn.Module, inputs: tuple) -> tuple:
        owner = self.owner[0]
        if owner._fuse is None:
            raise RuntimeError(
                f'Seam {self.seam!r} ran outside HookSeams.forward; wrap activation checkpointing '
                'around HookSeams (with_cp=True), not around the restorer inside it.'
            )
        return (owner._fuse(self.seam, inputs[0]), *inputs[1:])


@MODELS.register_module()
class HookSeams(BaseModule):
    """Give ``forward(img, fuse=no_fuse)`` to a restorer that has no seams of its own.

    A seam is the first input of one of the restorer's modules, by the module's name. The
    state-dict keys are those of the bare restorer; without ``fuse`` it *is* the bare restorer.

    Args:
        restorer: config or module; ``(N, 3, H, W)`` to ``(N, 3, H, W)`` or a list of such.
        seams: names of the seam modules.
        with_cp: recompute the activations in the backward pass to save memory.

    Raises:
        UserError: a module does not exist, never runs or runs more than once in a forward.
    """

    def __init__(
        self,
        restorer: Union[dict, nn.Module],
        seams: Sequence[str],
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.restorer = build_model(restorer)
        self.with_cp = with_cp
        self._fuse: Optional[FuseFn] = None
        self.seams = tuple(seams)
        for name in self.seams:
            self._module(name).register_forward_pre_hook(_Inject(self, name))
        self._check_seams_run()
        self._register_state_dict_hook(_strip_prefix)
        self._register_load_state_dict_pre_hook(_add_prefix, with_module=True)

    def _module(self, name: str) -> nn.Module:
        modules = dict(self.restorer.named_modules())
        if name not in modules or not name:
            close = difflib.get_close_matches(name, list(modules), n=8, cutoff=0.6)
            raise UserError(
                f'Module {name!r} does not exist in {type(self.restorer).__name__}; try one of '
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
                    f'forward and must run once; modules that do are {", ".join(once)}.'
                )

    def forward(self, img: Tensor, fuse: FuseFn = no_fuse) -> Union[Tensor, List[Tensor]]:
        """Restore an image.

        Args:
            img: ``(N, 3, H, W)``, RGB, [0, 1].
            fuse: called at every seam.

        Returns:
            What the bare restorer returns.
        """
        return checkpointed(self.with_cp, self._forward, img, fuse)

    def _forward(self, img: Tensor, fuse: FuseFn) -> Union[Tensor, List[Tensor]]:
        self._fuse = fuse
        try:
            return self.restorer(img)
        finally:
            self._fuse = None


def _strip_prefix(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    """Name the parameters in a state dict as the bare restorer does."""
    inner = prefix + 'restorer.'
    for key in [key for key in state if key.startswith(inner)]:
        state[prefix + key[len(inner) :]] = state.pop(key)


def _add_prefix(module: nn.Module, state: dict, prefix: str, *_: object) -> None:
    """Undo :func:`_strip_prefix` when a state dict is loaded."""
    restorer = cast(HookSeams, module).restorer
    own = [name for name in restorer.state_dict() if prefix + name in state]
    for name in own:
        state[f'{prefix}restorer.{name}'] = state.pop(prefix + name)


def _usable_modules(owner: HookSeams, most: int = 16) -> List[str]:
    """Modules that run exactly once on a feature map, the shallow ones, decoder first.

    Returns:
        Such as ``decoders.1 (stride 4)``.
    """
    strides: Dict[str, List[int]] = {}

    def note(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
                strides.setdefault(name, []).append(PROBE_SIDE // inputs[0].shape[-2])

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
