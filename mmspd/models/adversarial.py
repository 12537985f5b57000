"""AdversarialDeblurrer: the model for training against discriminators."""

from typing import Any, Dict

from mmengine.model import ModuleDict
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from mmspd.errors import UserError
from mmspd.models.deblurrer import SemanticPriorDeblurrer
from mmspd.registry import MODELS, build_model

__all__ = ['AdversarialDeblurrer']

RELATIVISTIC = dict(type='mmspd.RelativisticLoss')


@MODELS.register_module()
class AdversarialDeblurrer(SemanticPriorDeblurrer):
    """Trains a restorer against discriminators, as DeblurGAN-v2 does; tests it like any other.

    In each step, the discriminators learn first, from the sharp images and from the output of the
    generator. Then the generator learns from its losses and from the adversarial loss, the mean
    over the discriminators. Both losses are multiplied by ``adversarial_weight``. Each
    discriminator has its own adversarial loss, because the loss keeps a pool of ratings.

    The optimizers of the generator and of the discriminators need
    ``optim_wrapper.constructor='mmspd.AdversarialConstructor'``. Training runs in one process.

    Args:
        discriminators: A dict from the name of each discriminator to its config, for example
            ``dict(patch=dict(type='mmspd.PatchDiscriminator'))``.
        adversarial_loss: Config of the adversarial loss.
        adversarial_weight: Weight of the adversarial loss.
        kwargs: Arguments of :class:`~mmspd.models.deblurrer.SemanticPriorDeblurrer`.

    Raises:
        UserError: There is no discriminator, or another argument is invalid.

    Examples:
        >>> from mmspd.registry import build_model
        >>> model = build_model(
        ...     dict(
        ...         type='mmspd.AdversarialDeblurrer',
        ...         generator=dict(type='mmspd.UNet', base=4, num_res=1),
        ...         losses=dict(loss_pix=dict(type='mmagic.MSELoss')),
        ...         discriminators=dict(patch=dict(type='mmspd.PatchDiscriminator', base=4)),
        ...     )
        ... )
        >>> list(model.discriminators)
        ['patch']
    """

    def __init__(
        self,
        *,
        discriminators: Dict[str, Dict[str, Any]],
        adversarial_loss: Dict[str, Any] = RELATIVISTIC,
        adversarial_weight: float = 0.001,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not discriminators:
            raise UserError(
                'model.discriminators is empty; name at least one discriminator, or use '
                "model.type='mmspd.SemanticPriorDeblurrer'."
            )
        self.adversarial_weight = adversarial_weight
        self.discriminators = ModuleDict(
            {name: build_model(cfg) for name, cfg in discriminators.items()}
        )
        self.adversarial_losses = ModuleDict(
            {name: build_model(adversarial_loss) for name in discriminators}
        )

    def train_step(self, data: Dict[str, Any], optim_wrapper: OptimWrapper) -> Dict[str, Tensor]:
        """Train the discriminators and then the generator on a batch.

        Args:
            data: A batch of the data loader.
            optim_wrapper: The optimizers ``generator`` and ``discriminators``.

        Returns:
            The losses, for the log.

        Raises:
            UserError: There is only one optimizer.
        """
        if not isinstance(optim_wrapper, OptimWrapperDict):
            raise UserError(
                'mmspd.AdversarialDeblurrer needs two optimizers; set optim_wrapper.constructor='
                "'mmspd.AdversarialConstructor'."
            )
        data = self.data_preprocessor(data, True)
        sharp = data['data_samples'].gt_img
        generator = optim_wrapper['generator']
        with generator.optim_context(self):
            losses, outputs = self.losses_and_outputs(data['inputs'], sharp)
        loss = self._train_discriminators(
            outputs[-1].detach(), sharp, optim_wrapper['discriminators']
        )
        with generator.optim_context(self):
            losses['loss_adversarial'] = self._adversarial_loss(outputs[-1], sharp)
        total, log = self.parse_losses(losses)
        generator.update_params(total)
        return {**log, 'loss_discriminators': loss.detach()}

    def _train_discriminators(
        self, restored: Tensor, sharp: Tensor, optim_wrapper: OptimWrapper
    ) -> Tensor:
        self.discriminators.requires_grad_(True)
        with optim_wrapper.optim_context(self):
            losses = [
                self.adversarial_losses[name].of_discriminator(rate(sharp), rate(restored))
                for name, rate in self.discriminators.items()
            ]
        loss = self.adversarial_weight * sum(losses) / len(losses)
        optim_wrapper.update_params(loss)
        return loss

    def _adversarial_loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        # the gradient of this loss must not reach the weights of the discriminators
        self.discriminators.requires_grad_(False)
        losses = [
            self.adversarial_losses[name].of_generator(rate(sharp), rate(restored))
            for name, rate in self.discriminators.items()
        ]
        return self.adversarial_weight * sum(losses) / len(losses)
