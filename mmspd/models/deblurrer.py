"""SemanticPriorDeblurrer: the model for training, validation and testing (Eq. 7)."""

from functools import partial
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmagic.models.base_models import BaseEditModel
from mmagic.structures import DataSample
from mmengine.logging import print_log
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models import batches
from mmspd.models.guided import SemanticGuided, as_list
from mmspd.models.layers.any_size import accept_any_size
from mmspd.models.layers.compilation import Compiled
from mmspd.models.layers.gray import rgb_to_gray
from mmspd.models.layers.multi_scale_targets import get_multi_scale_targets
from mmspd.models.layers.side_stream import SideStream
from mmspd.models.layers.training_only import TrainingOnly
from mmspd.models.tiling import TileNetwork, restore_images, restore_windows
from mmspd.registry import MODELS, build_model
from mmspd.utils.precision import warn_if_slow
from mmspd.weights import official

__all__ = ['SemanticPriorDeblurrer']

TEST_CFG = ('self_ensemble', 'precision', 'compile', 'tile', 'window')
TO_UNIT_RANGE = dict(type='mmspd.DataPreprocessor')


@MODELS.register_module()
class SemanticPriorDeblurrer(BaseEditModel):
    r"""Trains and tests a restorer, with or without a semantic prior.

    The training loss (Eq. 7) is the sum of the restoration losses, plus the distillation loss of
    the prior if there is a teacher.

    .. math:: L = L_1 + \alpha L_{vgg} + \beta L_{prior}

    Each restoration loss is summed over the outputs of the generator. An output of lower resolution
    is compared with the sharp image at that resolution. Gray outputs are compared with the gray
    sharp image.

    Args:
        generator: Config of a restorer, or of a :class:`SemanticGuided` restorer. Any network that
            maps one image to one image of the same size is a restorer.
        losses: A dict from the log name of each restoration loss to its config, for example
            ``dict(loss_pix=dict(type='mmagic.L1Loss'))``. Each name must contain ``loss``.
        teacher: Config of the teacher F_P, for example ``mmspd.FeatureTeacher``. The config must
            contain ``channels``. The teacher is built when training starts. It is never built for
            testing, and it is not saved in checkpoints.
        prior_loss: Config of the distillation loss. Set it if and only if ``teacher`` is set.
        teacher_sees: The teacher's input: ``'sharp'`` for the sharp image, ``'blurry'`` for the
            blurry image, which is also the input of the prior branch (the student). Use
            ``'blurry'`` for a control experiment: the student then learns the teacher's task, but
            no details that the blur removed.
        teacher_stream: On CUDA, run the teacher on a stream of its own, beside the generator
            (:class:`~mmspd.models.layers.side_stream.SideStream`). The losses do not change, but
            the step needs more memory.
        multi_scale_targets: Method that resizes the sharp image to the size of each output:
            ``'bilinear'`` as in MIMO-UNet, or another key of
            :data:`~mmspd.models.layers.multi_scale_targets.MULTI_SCALE_TARGETS`.
        channels_last: Use the channels-last memory format for generator, teacher and images.
        compile: ``True`` or a dict of arguments for ``torch.compile``. The generator and the
            teacher are compiled for training (:class:`~mmspd.models.layers.compilation.Compiled`),
            but not for validation and testing, because the images there have other sizes.
        load_official: Weights published by the restorer's authors, from which training starts: a
            file, an address, or for DMPHN a folder. They are loaded strictly into the
            restorer, whether or not the generator has a prior. They are not read for testing. A
            loaded or resumed checkpoint replaces them.
        train_cfg: Not used; present because MMagic's models have this argument.
        test_cfg: A dict of options for validation and testing. ``tile``, ``self_ensemble`` and
            ``precision`` have the same meaning as in
            :func:`~mmspd.models.tiling.restore.restore_images`, but without ``precision`` and
            autocast, float32 convolutions do not use TF32. ``compile`` takes the same values
            as the argument ``compile`` above. Only the first eight image sizes are compiled. Leave
            out ``tile`` to compare with published results, which are not tiled. ``window`` is the
            side of the windows of :func:`~mmspd.models.tiling.windows.restore_windows`, for
            restorers whose published results were measured in this way; 0 or ``None`` for the whole
            image.
        init_cfg: MMEngine's initialization config.
        data_preprocessor: Config of the data preprocessor. The default is
            :class:`~mmspd.models.data_preprocessor.DataPreprocessor` with the output range [0, 1].

    Raises:
        UserError: An argument is invalid, or the components do not fit together.

    Examples:
        >>> import torch
        >>> from mmspd.registry import build_model
        >>> from mmagic.structures import DataSample
        >>> generator = dict(type='mmspd.UNet', base=4, num_res=1)
        >>> losses = dict(loss_pix=dict(type='mmagic.L1Loss'))
        >>> cfg = dict(type='mmspd.SemanticPriorDeblurrer', generator=generator, losses=losses)
        >>> model = build_model(cfg)
        >>> blurry, sharp = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
        >>> list(model(blurry, DataSample(gt_img=sharp), mode='loss'))
        ['loss_pix']
        >>> model(blurry, mode='tensor').shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        generator: Union[Dict[str, Any], nn.Module],
        losses: Dict[str, Dict[str, Any]],
        teacher: Optional[Dict[str, Any]] = None,
        prior_loss: Optional[Dict[str, Any]] = None,
        teacher_sees: str = 'sharp',
        teacher_stream: bool = False,
        multi_scale_targets: str = 'bilinear',
        channels_last: bool = False,
        compile: Union[bool, Dict[str, Any]] = False,
        load_official: Optional[str] = None,
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        data_preprocessor: Union[Dict[str, Any], nn.Module] = TO_UNIT_RANGE,
    ) -> None:
        # Skip BaseEditModel's __init__, which supports only one pixel_loss and one output.
        BaseModel.__init__(self, build_model(data_preprocessor), init_cfg)
        self.data_preprocessor.register_forward_pre_hook(batches.complete)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg or {}
        _check_test_cfg(self.test_cfg)
        self._compiled_test = Compiled(self.test_cfg.get('compile', False))
        self.multi_scale_targets = get_multi_scale_targets(multi_scale_targets)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._compiled_generator, self._compiled_teacher = Compiled(compile), Compiled(compile)
        self.generator: Any = build_model(generator).to(memory_format=self.memory_format)
        accept_any_size(self.generator, required=False)
        unnamed = [name for name in losses if 'loss' not in name]
        if unnamed:
            raise UserError(
                f"model.losses has the key {unnamed[0]!r} without 'loss', so MMEngine would not "
                f'optimize this loss; rename the key to loss_{unnamed[0]}.'
            )
        self.official_weights = load_official
        self.losses = ModuleDict({name: build_model(cfg) for name, cfg in losses.items()})
        self.prior_loss: Any = None  # a module if there is a teacher
        self._teacher: Optional[TrainingOnly] = None
        if teacher_sees not in ('sharp', 'blurry'):
            raise UserError(
                f"model.teacher_sees={teacher_sees!r} is unknown; use 'sharp' or 'blurry'."
            )
        self.teacher_sees = teacher_sees
        self._beside_generator = SideStream(teacher_stream)
        if teacher_stream and self._compiled_teacher.reuses_memory:
            raise UserError(
                f'model.teacher_stream=True does not fit model.compile={compile}, which uses CUDA '
                'graphs; set teacher_stream=False, or compile without CUDA graphs.'
            )
        if teacher is None and getattr(self.generator, 'detach_prior', False):
            raise UserError(
                'model.generator.detach_prior is set without a teacher, so the prior cannot learn; '
                'set model.teacher and model.prior_loss, or remove detach_prior.'
            )
        if teacher is not None or prior_loss is not None:
            self._add_distillation(teacher, prior_loss)

    def _add_distillation(
        self, teacher: Optional[Dict[str, Any]], prior_loss: Optional[Dict[str, Any]]
    ) -> None:
        if teacher is None or prior_loss is None:
            lacking = 'model.teacher' if teacher is None else 'model.prior_loss'
            raise UserError(f'{lacking} is missing; set both teacher and prior_loss, or neither.')
        if not hasattr(self.generator, 'prior'):
            raise UserError(
                'model.teacher is set, but model.generator is a plain restorer without a prior; '
                'wrap the restorer in mmspd.SemanticGuided, or remove teacher and prior_loss.'
            )
        if 'channels' not in teacher:
            raise UserError(
                'model.teacher has no channels; add channels=(...) with one number for each '
                'feature level.'
            )
        self.prior_loss = build_model(
            prior_loss,
            prior_channels=self.generator.prior.channels,
            teacher_channels=teacher['channels'],
        )
        self._teacher = TrainingOnly(partial(build_model, teacher), self.memory_format)

    def init_weights(self) -> None:
        """Initialize the trainable parts, then build the teacher with its weights.

        Raises:
            UserError: The weights of the restorer or of the teacher are missing or do not fit, or
                the strides of the teacher and of the prior differ.
        """
        first_time = not self.is_init
        super().init_weights()
        if first_time and self.official_weights is not None:
            self._load_official_weights(self.official_weights)
        if self._teacher is None:
            return
        teacher: Any = self._teacher.get(torch.device('cpu'))
        strides = teacher.strides
        prior_strides = self.generator.prior.strides
        if any(coarse % fine for coarse, fine in zip(strides, prior_strides)):
            raise UserError(
                f'The teacher has the strides {tuple(strides)}, which are not multiples of the '
                f'strides {tuple(prior_strides)} of the prior; set prior.extractor.strides='
                f'{tuple(strides)}, or change teacher.scale (for a SegmapTeacher, teacher.strides).'
            )

    def _load_official_weights(self, source: str) -> None:
        guided = isinstance(self.generator, SemanticGuided)
        restorer = self.generator.restorer if guided else self.generator
        loaded = official.load_official(restorer, source, 'model.load_official')
        print_log(f'The restorer starts from {loaded}.', 'current')

    def val_step(self, data: Dict[str, Any]) -> List[DataSample]:
        """Restore the images of a batch one by one, so that no result depends on the batch size.

        Args:
            data: A batch of the data loader: ``inputs`` and ``data_samples``, one of each per
                image. The images may have different sizes.

        Returns:
            The data sample of each image with its ``output.pred_img``, BGR, [0, 255].

        Raises:
            UserError: The pipeline does not end with PackInputs.
        """
        batches.check_packed(data)
        count = len(data['data_samples'])
        return [
            sample
            for number in range(count)
            for sample in super(SemanticPriorDeblurrer, self).val_step(batches.select(data, number))
        ]

    test_step = val_step

    def forward_tensor(
        self, inputs: Tensor, data_samples: Optional[DataSample] = None, **kwargs: Any
    ) -> Tensor:
        """Restore a batch.

        Args:
            inputs: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: Not used.
            **kwargs: Arguments for the generator.

        Returns:
            Restored images ``(N, 3, H, W)``, RGB, float32. Values may slightly exceed [0, 1].
        """
        inputs = inputs.contiguous(memory_format=self.memory_format)
        return as_list(self.generator(inputs, **kwargs))[-1].float()

    def forward_inference(
        self, inputs: Tensor, data_samples: Optional[DataSample] = None, **kwargs: Any
    ) -> DataSample:
        """Restore a batch for validation or testing, with the options of ``test_cfg``.

        Args:
            inputs: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: Metadata of the images.
            **kwargs: Not used.

        Returns:
            A data sample with the restored images as ``pred_img``, BGR, [0, 255], on the CPU.
        """
        net = TileNetwork(self, self._compiled_test)
        ensemble = bool(self.test_cfg.get('self_ensemble'))
        tile, window = self.test_cfg.get('tile'), self.test_cfg.get('window')
        precision = self.test_cfg.get('precision')
        if precision is None and not torch.is_autocast_enabled(inputs.device.type):
            precision = 'float32'  # without TF32, as the published numbers
        if window:
            restored = restore_windows(net, inputs, window, ensemble, precision)
        else:
            restored = restore_images(
                net, inputs, tile, self_ensemble=ensemble, precision=precision
            )
        restored = self.data_preprocessor.destruct(restored, data_samples)
        return DataSample(pred_img=restored.cpu())

    def forward_train(
        self, inputs: Tensor, data_samples: DataSample, **kwargs: Any
    ) -> Dict[str, Tensor]:
        """Compute the training losses.

        Args:
            inputs: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: A data sample with the sharp images as ``gt_img``, ``(N, 3, H, W)``, RGB,
                [0, 1].
            **kwargs: Arguments for the generator.

        Returns:
            A dict from the name of each loss to its value, a scalar. MMEngine optimizes the sum of
            the losses.
        """
        return self.losses_and_outputs(inputs, data_samples.gt_img, **kwargs)[0]

    def losses_and_outputs(
        self, inputs: Tensor, sharp: Tensor, **kwargs: Any
    ) -> Tuple[Dict[str, Tensor], List[Tensor]]:
        """Compute the training losses and return the outputs of the generator too.

        Args:
            inputs: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            sharp: Sharp images ``(N, 3, H, W)``, RGB, [0, 1].
            **kwargs: Arguments for the generator.

        Returns:
            The losses as :meth:`forward_train` returns them, and the outputs.
        """
        inputs = inputs.contiguous(memory_format=self.memory_format)
        if self.prior_loss is None:
            outputs = as_list(self._compiled_generator(self.generator, inputs, **kwargs))
            return self._restoration_losses(outputs, sharp), outputs
        # Run the teacher first, so that its temporary memory is free when the generator runs. On a
        # stream of its own, the teacher may still run then.
        finish_teacher = self._beside_generator.start(self.teacher_features, inputs, sharp)
        forward = self.generator.forward_with_prior
        outputs, prior = self._compiled_generator(forward, inputs, **kwargs)
        losses = self._restoration_losses(outputs, sharp)
        losses['loss_prior'] = self.prior_loss(prior, finish_teacher())
        return losses, outputs

    def _restoration_losses(self, outputs: List[Tensor], sharp: Tensor) -> Dict[str, Tensor]:
        if outputs[-1].shape[1] == 1:
            sharp = rgb_to_gray(sharp)
        targets = self.multi_scale_targets(sharp, outputs)
        return {
            name: sum(loss(output, target) for output, target in zip(outputs, targets))
            for name, loss in self.losses.items()
        }

    def teacher_features(self, blurry: Tensor, sharp: Tensor) -> Tuple[Tensor, ...]:
        """Extract the teacher's features; the first call builds the teacher.

        The images are padded in the same way as the input of the prior branch, so the teacher's
        features have the same sizes as the prior. In evaluation mode, the teacher runs without
        compilation.

        Args:
            blurry: Blurry images ``(N, 3, H, W)``, RGB, [0, 1]; the teacher's input with
                ``teacher_sees='blurry'``.
            sharp: Sharp images ``(N, 3, H, W)``, RGB, [0, 1]; the teacher's input otherwise.

        Returns:
            The teacher's levels f_gt^1 ... f_gt^L, fine to coarse, each ``(N, C_i, H_i, W_i)``.

        Raises:
            UserError: The model has no teacher, or the teacher's weights are missing.
        """
        if self._teacher is None:
            raise UserError('This model has no teacher; set model.teacher and model.prior_loss.')
        img = sharp if self.teacher_sees == 'sharp' else blurry
        img = self.generator.pad(img)
        img = img.contiguous(memory_format=self.memory_format)
        teacher: Any = self._teacher.get(img.device)
        dtype = getattr(teacher, 'dtype', None)  # your own teacher may have none
        if dtype is not None:
            warn_if_slow(img.device, str(dtype).removeprefix('torch.'))
        if not self.training:
            return teacher(img)
        features = self._compiled_teacher(teacher, img)
        if self._compiled_teacher.reuses_memory:  # the generator would overwrite the features
            features = tuple(feature.clone() for feature in features)
        return features

    @torch.no_grad()
    def prior_distance(self, blurry: Tensor, sharp: Tensor) -> Tensor:
        """Compute the distance between the prior and the teacher's features.

        Args:
            blurry: Blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            sharp: Sharp images ``(N, 3, H, W)``, RGB, [0, 1].

        Returns:
            The prior loss of Eq. 7, multiplied by beta, as a scalar. If the loss normalizes the
            teacher's features, it uses their running averages in evaluation mode.

        Raises:
            UserError: The model has no teacher.
        """
        features = self.teacher_features(blurry, sharp)
        return self.prior_loss(self.generator.compute_prior(blurry), features)


def _check_test_cfg(test_cfg: Dict[str, Any]) -> None:
    """Check the options for testing."""
    unknown = [key for key in test_cfg if key not in TEST_CFG]
    if unknown:
        keys = ', '.join(TEST_CFG)
        raise UserError(f'model.test_cfg has no key {unknown[0]!r}; use one of {keys}.')
    tile, window = test_cfg.get('tile'), test_cfg.get('window')
    if tile not in (None, 'auto') and not (isinstance(tile, int) and tile > 0):
        raise UserError(
            f"model.test_cfg.tile={tile!r} is unknown; use a number of pixels or 'auto'."
        )
    if window is not None and not (isinstance(window, int) and window >= 0):
        raise UserError(
            f'model.test_cfg.window={window!r} is unknown; use a number of pixels, or 0 for the '
            'whole image.'
        )
    if tile and window:
        raise UserError(
            f'model.test_cfg has both tile={tile!r} and window={window}; set window=0 '
            '(mmspd test --window 0), or remove tile.'
        )
