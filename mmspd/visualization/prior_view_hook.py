"""Pictures of the prior during training."""

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
    """Log what the prior of some validation images is and does, as a picture of each.

    They go where the run's visualizer sends them: by default to ``vis_data/vis_image`` of the work
    folder and to TensorBoard, beside whose numbers of the validation they stand. With ``EMAHook``
    they show the averaged weights, as the validation does. The main process alone makes them.

    Opt in by ``default_hooks = dict(prior_view=dict(type='mmspd.PriorViewHook'))``.

    Args:
        interval: Every how many validations.
        num_images: How many images, evenly spread over those that the main process validates. The
            pictures of one validation share their colors.

    Raises:
        UserError: An argument is not positive, or the model has no prior to look at.
    """

    def __init__(self, interval: int = 1, num_images: int = 2) -> None:
        for name, value in (('interval', interval), ('num_images', num_images)):
            if value < 1:
                raise UserError(f'default_hooks.prior_view.{name} must be 1 or more, not {value}')
        self.interval = interval
        self.num_images = num_images
        self._validations = 0
        self._views: List[Tuple[str, PriorView]] = []

    def before_val_epoch(self, runner: Any) -> None:
        """Count the validations."""
        self._validations += 1
        self._views = []

    def after_val_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Optional[Any] = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Look at the first image of some batches, while the weights are those validated."""
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
        """Draw what was seen."""
        if not self._views:
            return
        palette = Palette([view for _, view in self._views])
        step = runner.epoch if runner.log_processor.by_epoch else runner.iter
        for number, (key, view) in enumerate(self._views):
            picture = draw_rows(palette.rows(view), '; '.join((key, *view.notes)))
            runner.visualizer.add_image(f'prior_{number}', picture, step)
        self._views = []


def _to_input(image: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Turn an image of a sample, BGR, [0, 255], ``(3, H, W)``, into a network's input."""
    return image.flip(0)[None].to(device, torch.float32) / 255
