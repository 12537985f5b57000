"""Choose how cuDNN computes convolutions in training, validation and tests."""

from typing import Any, Iterator, List, NamedTuple

from mmengine.hooks import Hook
from torch.backends import cudnn

from mmspd.registry import HOOKS

__all__ = ['ConvolutionHook']

#: A shorter run may not regain the time of the tuning. On an H100, this time was 23 s for the quick
#: start.
_MIN_ITERS = 10_000


class _Settings(NamedTuple):
    """PyTorch's settings of cuDNN for the whole process."""

    benchmark: bool
    allow_tf32: bool

    def apply(self) -> None:
        cudnn.benchmark, cudnn.allow_tf32 = self


@HOOKS.register_module()
class ConvolutionHook(Hook):
    """Chooses how cuDNN computes convolutions. It has an effect on CUDA only.

    * Tuning: cuDNN measures its algorithms for each new size, and then uses the fastest one. With
      ``env_cfg.cudnn_benchmark=None``, it does so in training if all crops of the config have one
      size and at least 10000 iterations are left. ``True`` and ``False`` decide for training,
      validation and tests. A run with ``randomness.deterministic`` is never tuned.
    * TF32: on devices that can, float32 convolutions of training steps are computed with ten bits
      of the mantissa, as by PyTorch's default. Validation and tests do not use TF32, so that their
      numbers can be compared with published ones, unless ``model.test_cfg.precision`` is
      ``'tf32'``.

    Args:
        tf32: Use TF32 in training steps.
    """

    # before the hook that records the settings of a test
    priority = 'VERY_HIGH'

    def __init__(self, tf32: bool = True) -> None:
        self.tf32 = tf32
        self._before: List[_Settings] = []

    def before_train(self, runner: Any) -> None:
        """Choose, apply and log the settings of training steps.

        Args:
            runner: MMEngine's runner.
        """
        chosen = _Settings(_tunes(runner), self.tf32)
        self._enter(chosen)
        if next(runner.model.parameters()).is_cuda:
            runner.logger.info(
                f'cuDNN {"tunes" if chosen.benchmark else "does not tune"} the convolutions of '
                'training steps (env_cfg.cudnn_benchmark). In float32, they use '
                f'{"TF32" if self.tf32 else "no TF32"} (default_hooks.convolutions.tf32).'
            )

    def before_val(self, runner: Any) -> None:
        """Apply the settings of validation and tests.

        Args:
            runner: MMEngine's runner.
        """
        self._enter(_Settings(bool(_stated(runner)) and not cudnn.deterministic, False))

    def after_val(self, runner: Any) -> None:
        """Restore the settings from before the validation.

        Args:
            runner: MMEngine's runner.
        """
        self._before.pop().apply()

    before_test = before_val
    after_test = after_val
    after_train = after_val

    def _enter(self, settings: _Settings) -> None:
        self._before.append(_Settings(cudnn.benchmark, cudnn.allow_tf32))
        settings.apply()


def _stated(runner: Any) -> Any:
    """Return the key of the config that turns the tuning on or off, or None."""
    return (runner.cfg.get('env_cfg') or {}).get('cudnn_benchmark')


def _tunes(runner: Any) -> bool:
    """Return whether cuDNN measures its algorithms in training steps."""
    stated = _stated(runner)
    if cudnn.deterministic or stated is not None:
        return bool(stated) and not cudnn.deterministic
    sizes = [*_crop_sizes(runner.cfg.get('train_dataloader'))]
    fixed = len({str(size) for size in sizes}) == 1 and isinstance(sizes[0], int) and sizes[0] > 0
    return fixed and runner.max_iters - runner.iter >= _MIN_ITERS


def _crop_sizes(part: Any) -> Iterator[Any]:
    """Yield the sizes of all crops in a config."""
    if isinstance(part, dict):
        if 'gt_patch_size' in part:
            yield part['gt_patch_size']
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for value in part:
            yield from _crop_sizes(value)
