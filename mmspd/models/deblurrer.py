"""SemanticPriorDeblurrer: the model that the runner trains, validates and tests (Eq. 7)."""

from functools import partial
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmagic.models.base_models import BaseEditModel
from mmagic.structures import DataSample
from mmengine.logging import print_log
from mmengine.model import BaseModel, ModuleDict
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided, as_list
from mmspd.models.layers.compilation import Compiled
from mmspd.models.layers.multi_scale_targets import get_multi_scale_targets
from mmspd.models.layers.padding import pad_to_multiple
from mmspd.models.layers.training_only import TrainingOnly
from mmspd.models.tiling import TileNetwork, restore_images
from mmspd.registry import MODELS, build_model
from mmspd.weights import official

__all__ = ['SemanticPriorDeblurrer']

TEST_CFG = ('self_ensemble', 'precision', 'compile', 'tile')
TO_UNIT_RANGE = dict(type='mmagic.DataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3)


@MODELS.register_module()
class SemanticPriorDeblurrer(BaseEditModel):
    r"""Train a restorer, plain or guided by a semantic prior.

    Eq. 7: the restoration losses, plus, where there is a teacher, the distillation of the prior.

    .. math:: L = L_1 + \alpha L_{vgg} + \beta L_{prior}

    Each restoration loss is summed over the generator's outputs; an output at a lower resolution
    is compared with the sharp image reduced to its size.

    Args:
        generator: config of a restorer, or of a :class:`SemanticGuided` one.
        losses: configs of the restoration losses by log name, which must contain ``loss``:
            ``dict(loss_pix=dict(type='mmagic.L1Loss'))``.
        teacher: config of F_P, such as ``mmspd.FeatureTeacher``; it must state ``channels``. It is
            built when training starts, never for testing, and is in no checkpoint.
        prior_loss: config of the distillation loss; with ``teacher``, or neither.
        teacher_sees: ``'sharp'``, the sharp image; or ``'blurry'``, the image that the student
            sees, a control: what is then learned is the task, and nothing of what blur took away.
        multi_scale_targets: how the sharp image is reduced: ``'bilinear'`` as
            MIMO-UNet, or another of
            :data:`~mmspd.models.layers.multi_scale_targets.MULTI_SCALE_TARGETS`.
        channels_last: keep generator, teacher and images in the channels-last memory format.
        compile: ``True`` or a dict of arguments for ``torch.compile``: generator and teacher are
            compiled for training (:class:`~mmspd.models.layers.compilation.Compiled`), not for
            validation and testing, whose images have other sizes.
        load_official: file, http(s) address, or for DMPHN folder, of weights that the restorer's
            authors published, from which training starts: loaded strictly into the restorer, with
            or without a prior. Not read for testing, and a checkpoint that is loaded or resumed
            has the last word.
        train_cfg: not used; MMagic's models have it.
        test_cfg: options of validation and testing, those of
            :func:`~mmspd.models.tiling.restore_images`: ``tile``, ``self_ensemble`` and
            ``precision``; and ``compile``, as the argument of that name, for the first eight
            sizes of images. Published results are not tiled.
        init_cfg: initialization config of MMEngine.
        data_preprocessor: config; by default MMagic's, to [0, 1].

    Raises:
        UserError: the pieces do not fit together.
    """

    def __init__(
        self,
        generator: Union[Dict[str, Any], nn.Module],
        losses: Dict[str, Dict[str, Any]],
        teacher: Optional[Dict[str, Any]] = None,
        prior_loss: Optional[Dict[str, Any]] = None,
        teacher_sees: str = 'sharp',
        multi_scale_targets: str = 'bilinear',
        channels_last: bool = False,
        compile: Union[bool, Dict[str, Any]] = False,
        load_official: Optional[str] = None,
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
        data_preprocessor: Union[Dict[str, Any], nn.Module] = TO_UNIT_RANGE,
    ) -> None:
        # not BaseEditModel's __init__: it knows one pixel_loss and no list of outputs
        BaseModel.__init__(self, build_model(data_preprocessor), init_cfg)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg or {}
        unknown = [key for key in self.test_cfg if key not in TEST_CFG]
        if unknown:
            keys = ', '.join(TEST_CFG)
            raise UserError(f'model.test_cfg has the key {unknown[0]!r}; its keys are {keys}.')
        tile = self.test_cfg.get('tile')
        if tile not in (None, 'auto') and not (isinstance(tile, int) and tile > 0):
            raise UserError(f"model.test_cfg.tile is a number of pixels or 'auto', not {tile!r}.")
        self._compiled_test = Compiled(self.test_cfg.get('compile', False))
        self.multi_scale_targets = get_multi_scale_targets(multi_scale_targets)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._compiled_generator, self._compiled_teacher = Compiled(compile), Compiled(compile)
        self.generator: Any = build_model(generator).to(memory_format=self.memory_format)
        unnamed = [name for name in losses if 'loss' not in name]
        if unnamed:
            raise UserError(
                f'model.losses has the key {unnamed[0]!r}, which MMEngine would log but not '
                f"optimize; let it contain 'loss', as in loss_{unnamed[0]}."
            )
        self.official_weights = load_official
        self.losses = ModuleDict({name: build_model(cfg) for name, cfg in losses.items()})
        self.prior_loss: Any = None  # a module where there is a teacher
        self._teacher: Optional[TrainingOnly] = None
        if teacher_sees not in ('sharp', 'blurry'):
            raise UserError(f"model.teacher_sees is 'sharp' or 'blurry', not {teacher_sees!r}.")
        self.teacher_sees = teacher_sees
        if teacher is None and getattr(self.generator, 'detach_prior', False):
            raise UserError(
                'model.generator.detach_prior leaves the prior without anything to learn from: '
                'give model.teacher and model.prior_loss, or remove it.'
            )
        if teacher is not None or prior_loss is not None:
            self._add_distillation(teacher, prior_loss)

    def _add_distillation(
        self, teacher: Optional[Dict[str, Any]], prior_loss: Optional[Dict[str, Any]]
    ) -> None:
        if teacher is None or prior_loss is None:
            lacking = 'model.teacher' if teacher is None else 'model.prior_loss'
            raise UserError(f'{lacking} is missing; teacher and prior_loss go together.')
        if not hasattr(self.generator, 'prior'):
            raise UserError(
                'model.teacher is set but model.generator is a plain restorer without a prior to '
                'distill; wrap it in mmspd.SemanticGuided, or remove teacher and prior_loss.'
            )
        if 'channels' not in teacher:
            raise UserError(
                'model.teacher must state channels=(...), the channels of its feature levels.'
            )
        self.prior_loss = build_model(
            prior_loss,
            prior_channels=self.generator.prior.channels,
            teacher_channels=teacher['channels'],
        )
        self._teacher = TrainingOnly(partial(build_model, teacher), self.memory_format)

    def init_weights(self) -> None:
        """Initialize the trainable parts, then build the teacher and load its weights.

        Raises:
            UserError: the official or the teacher's weights cannot be had or do not fit, or the
                teacher's strides are not the prior's.
        """
        first_time = not self.is_init
        super().init_weights()
        if first_time and self.official_weights is not None:
            self._load_official_weights(self.official_weights)
        if self._teacher is None:
            return
        teacher: Any = self._teacher.get(torch.device('cpu'))
        strides = teacher.strides
        if tuple(strides) != tuple(self.generator.prior.strides):
            raise UserError(
                f'The teacher has levels at strides {tuple(strides)} of the image but the prior at '
                f'{tuple(self.generator.prior.strides)}; change teacher.scale (of a '
                'SegmapTeacher: teacher.strides) or prior.extractor.strides.'
            )

    def _load_official_weights(self, source: str) -> None:
        guided = isinstance(self.generator, SemanticGuided)
        restorer = self.generator.restorer if guided else self.generator
        loaded = official.load_official(restorer, source, 'model.load_official')
        print_log(f'The restorer starts from {loaded}.', 'current')

    def forward_tensor(
        self, inputs: Tensor, data_samples: Optional[DataSample] = None, **kwargs: Any
    ) -> Tensor:
        """Restore a batch.

        Args:
            inputs: blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: not used.
            **kwargs: arguments for the generator.

        Returns:
            Restored images ``(N, 3, H, W)``, RGB, about [0, 1], float32.
        """
        inputs = inputs.contiguous(memory_format=self.memory_format)
        return as_list(self.generator(inputs, **kwargs))[-1].float()

    def forward_inference(
        self, inputs: Tensor, data_samples: Optional[DataSample] = None, **kwargs: Any
    ) -> DataSample:
        """Restore a batch for validation or testing, as ``test_cfg`` says.

        Args:
            inputs: blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: their metadata.
            **kwargs: not used.

        Returns:
            The restored images as ``pred_img``, BGR, [0, 255], on the CPU.
        """
        restored = restore_images(
            TileNetwork(self, self._compiled_test),
            inputs,
            tile=self.test_cfg.get('tile'),
            self_ensemble=bool(self.test_cfg.get('self_ensemble')),
            precision=self.test_cfg.get('precision'),
        )
        restored = self.data_preprocessor.destruct(restored, data_samples)
        return DataSample(pred_img=restored.cpu())

    def forward_train(
        self, inputs: Tensor, data_samples: DataSample, **kwargs: Any
    ) -> Dict[str, Tensor]:
        """Compute the training losses.

        Args:
            inputs: blurry images ``(N, 3, H, W)``, RGB, [0, 1].
            data_samples: holds the sharp images as ``gt_img``, likewise.
            **kwargs: arguments for the generator.

        Returns:
            The losses by name; MMEngine optimizes their sum.
        """
        inputs = inputs.contiguous(memory_format=self.memory_format)
        sharp = data_samples.gt_img
        if self.prior_loss is None:
            outputs = as_list(self._compiled_generator(self.generator, inputs, **kwargs))
            return self._restoration_losses(outputs, sharp)
        # the teacher first: what it needs in passing is freed before the generator's memory grows
        features = self.teacher_features(inputs, sharp)
        forward = self.generator.forward_with_prior
        outputs, prior = self._compiled_generator(forward, inputs, **kwargs)
        losses = self._restoration_losses(outputs, sharp)
        losses['loss_prior'] = self.prior_loss(prior, features)
        return losses

    def _restoration_losses(self, outputs: List[Tensor], sharp: Tensor) -> Dict[str, Tensor]:
        targets = self.multi_scale_targets(sharp, outputs)
        return {
            name: sum(loss(output, target) for output, target in zip(outputs, targets))
            for name, loss in self.losses.items()
        }

    def teacher_features(self, blurry: Tensor, sharp: Tensor) -> Tuple[Tensor, ...]:
        """Extract the teacher's features; the first call builds the teacher.

        Args:
            blurry: ``(N, 3, H, W)``, RGB, [0, 1].
            sharp: likewise; the teacher sees these, or ``blurry`` with ``teacher_sees='blurry'``.

        Returns:
            f_gt^1 ... f_gt^L of the images, padded as the prior's are, so that their grids agree
            at any size. The teacher is compiled in training mode only.

        Raises:
            UserError: this model has no teacher, or its weights cannot be had.
        """
        if self._teacher is None:
            raise UserError('This model has no teacher to compare its prior with.')
        img = sharp if self.teacher_sees == 'sharp' else blurry
        img = pad_to_multiple(img, self.generator.multiple)
        img = img.contiguous(memory_format=self.memory_format)
        teacher = self._teacher.get(img.device)
        if not self.training:
            return teacher(img)
        features = self._compiled_teacher(teacher, img)
        if self._compiled_teacher.reuses_memory:  # the generator's call is the next
            features = tuple(feature.clone() for feature in features)
        return features

    @torch.no_grad()
    def prior_distance(self, blurry: Tensor, sharp: Tensor) -> Tensor:
        """How far the prior of blurry images is from the teacher's view of the sharp ones.

        Args:
            blurry: ``(N, 3, H, W)``, RGB, [0, 1].
            sharp: likewise.

        Returns:
            The prior loss of Eq. 7, beta included, as a scalar; where the loss normalizes the
            teacher's features and the model is in eval mode, by their running averages.

        Raises:
            UserError: this model has no teacher.
        """
        features = self.teacher_features(blurry, sharp)
        return self.prior_loss(self.generator.compute_prior(blurry), features)
