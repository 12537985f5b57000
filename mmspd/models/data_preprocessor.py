"""Scale the images of a batch."""

from typing import Any, Dict, Sequence, Tuple

import torch
from mmagic.models.data_preprocessors import DataPreprocessor as MMagicDataPreprocessor
from torch import Tensor

from mmspd.registry import MODELS
from mmspd.utils.sample_stack import SampleStack

__all__ = ['DataPreprocessor']


@MODELS.register_module()
class DataPreprocessor(MMagicDataPreprocessor):
    """MMagic's ``DataPreprocessor``, but it processes the images of a stacked batch at once.

    MMagic moves, scales and stacks the sharp images one by one, with several kernels and copies of
    the metainfo for each. The result is the same.

    Args:
        mean: Mean of each channel, which is subtracted.
        std: Divisor of each channel. The defaults bring images to [0, 1].
        **options: Other arguments of MMagic's ``DataPreprocessor``.

    Examples:
        >>> import torch
        >>> from mmagic.structures import DataSample
        >>> from mmspd.models import DataPreprocessor
        >>> image = torch.full((3, 8, 8), 255, dtype=torch.uint8)
        >>> batch = dict(inputs=[image], data_samples=[DataSample(gt_img=image)])
        >>> DataPreprocessor()(batch, training=True)['inputs'].unique()
        tensor([1.])
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (255.0, 255.0, 255.0),
        **options: Any,
    ) -> None:
        super().__init__(mean, std, **options)

    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        """Move a batch to the device of the model, and convert and scale the images.

        Args:
            data: A dict with ``inputs`` and ``data_samples``.
            training: Whether the sharp images are scaled too.

        Returns:
            A dict with ``inputs``, ``(N, C, H, W)``, and one data sample with the images and the
            metainfo of all samples.
        """
        if training and self._supports(data):
            return self._process_stack(data['inputs'], data['data_samples'].stacked)
        return super().forward(data, training)

    def _supports(self, data: Dict[str, Any]) -> bool:
        """Return whether :meth:`_process_stack` supports the arguments and a batch."""
        samples = data.get('data_samples')
        stacked = samples.stacked if isinstance(samples, SampleStack) else None
        return (
            stacked is not None
            and data.keys() == {'inputs', 'data_samples'}
            and isinstance(data['inputs'], Tensor)
            and all(key in stacked for key in self.data_keys or ())
            and self.stack_data_sample
            and self.pad_size_divisor == 1
        )

    def _process_stack(self, inputs: Tensor, stacked: Any) -> Dict[str, Any]:
        """Process a stacked batch for training, as MMagic processes a list of samples."""
        inputs, order = self._convert('img', inputs, stacked)
        common = dict(img_output_channel_order=order)
        result = type(stacked)()
        for key, tensor in stacked.items():
            if key in (self.data_keys or ()):
                tensor, order = self._convert(key, tensor, stacked)
                settings = dict(enable_norm=self._enable_normalize, mean=self.mean, std=self.std)
                settings['output_channel_order'] = order
                common.update({f'{key}_{name}': value for name, value in settings.items()})
            result.set_field(self.cast_data(tensor), key)
        metainfo = {**stacked.metainfo, 'padding_size': list(torch.zeros(len(inputs), 3))}
        metainfo.update({key: [value] * len(inputs) for key, value in common.items()})
        for key, values in metainfo.items():
            result.set_field(values, key, field_type='metainfo')
        self._done_padding = False
        return dict(inputs=inputs, data_samples=result)

    def _convert(self, key: str, images: Tensor, stacked: Any) -> Tuple[Tensor, str]:
        """Move and scale images, and return their channel order too."""
        order = self._parse_channel_order(key, images, stacked)
        images, order = self._do_conversion(
            self.cast_data(images), order, self.output_channel_order
        )
        return self._do_norm(images), order
