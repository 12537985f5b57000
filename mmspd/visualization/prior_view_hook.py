"""Draw pictures of the prior during training."""

from typing import Any, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.model_wrapper import unwrap
from mmspd.visualization.prior_picture import Palette, draw_rows
from mmspd.visualization.prior_view import PriorView, view_prior

__all__ = ['PriorViewHook']


@HOOKS.register_module()
class PriorViewHook(Hook):
    """Draws the prior of some validation images, and the effect of the prior.

    The visualizer of the run gets the pictures. By default, it writes them to TensorBoard and to
    the folder ``vis_data/vis_image`` of the run. With ``EMAHook``, the pictures and the validation
    use the averaged weights. Only the main process draws pictures.

    Enable the hook with ``default_hooks = dict(prior_view=dict(type='mmspd.PriorViewHook'))``.

    Args:
        interval: Draw at every ``interval``-th validation.
        num_images: Number of images, spread evenly over the batches of the main process. In the
            pictures of one validation, equal colors have the same meaning.

    Raises:
        UserError: An argument is less than 1.

    Examples:
        >>> from mmspd.visualization import PriorViewHook
        >>> hook = PriorViewHook(interval=10, num_images=2)
        >>> hook.interval
        10
    """

    def __init__(self, interval: int = 1, num_images: int = 2) -> None:
        for name, value in (('interval', interval), ('num_images', num_images)):
            if value < 1:
                raise UserError(f'default_hooks.prior_view.{name} is {value}; set it to 1 or more.')
        self.interval = interval
        self.num_images = num_images
        self._validations = 0
        self._views: List[Tuple[str, PriorView]] = []

    def before_val_epoch(self, runner: Any) -> None:
        """Count the validations, and delete the views of the previous validation."""
        self._validations += 1
        self._views = []

    def after_val_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Compute the prior of the first image of some batches.

        The model uses the weights that are being validated.
        """
        if not is_main_process() or self._validations % self.interval or not outputs:
            return
        length = len(runner.val_dataloader)
        chosen = {index * length // self.num_images for index in range(self.num_images)}
        if batch_idx not in chosen:
            return
        model = unwrap(runner.model)
        sample = outputs[0]
        device = next(model.parameters()).device
        images = [_to_input(sample.input, device)]
        if 'gt_img' in sample:
            images.append(_to_input(sample.gt_img, device))
        key = sample.metainfo.get('key', f'image {batch_idx}')
        self._views.append((key, view_prior(model, *images)))

    def after_val_epoch(self, runner: Any, metrics: Optional[Any] = None) -> None:
        """Draw the pictures and send them to the visualizer."""
        if not self._views:
            return
        palette = Palette([view for _, view in self._views])
        step = runner.epoch if runner.log_processor.by_epoch else runner.iter
        for number, (key, view) in enumerate(self._views):
            picture = draw_rows(palette.rows(view), '. '.join((key, *view.notes)))
            runner.visualizer.add_image(f'prior_{number}', picture, step)
        self._views = []


def _to_input(image: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Convert an image of a sample, ``(3, H, W)``, BGR, [0, 255], to the input of a network."""
    return image.flip(0)[None].to(device, torch.float32) / 255
