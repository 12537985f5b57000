"""Optional activation of the attention maps of CLC and MLA."""

from typing import Optional

from torch import Tensor

from mmspd.errors import UserError

__all__ = ['apply_gate', 'check_gate']


def check_gate(gate: Optional[str]) -> Optional[str]:
    """Return ``gate`` if it is valid.

    Args:
        gate: ``None`` or ``'sigmoid'``.

    Returns:
        The value of ``gate``.

    Raises:
        UserError: ``gate`` is neither ``None`` nor ``'sigmoid'``.
    """
    if gate not in (None, 'sigmoid'):
        raise UserError(f"gate={gate!r} is unknown; use None or 'sigmoid'.")
    return gate


def apply_gate(attention: Tensor, gate: Optional[str]) -> Tensor:
    """Apply the gate to an attention map.

    Args:
        attention: Attention map of any shape.
        gate: ``'sigmoid'``, or ``None`` for no activation.

    Returns:
        A map of the same shape.

    Examples:
        >>> import torch
        >>> from mmspd.models.layers.gate import apply_gate
        >>> apply_gate(torch.tensor([-2.0, 0.0]), 'sigmoid')
        tensor([0.1192, 0.5000])
        >>> apply_gate(torch.tensor([-2.0, 0.0]), None)
        tensor([-2.,  0.])
    """
    return attention.sigmoid() if gate == 'sigmoid' else attention
