"""The optional activation of the attention maps of CLC and MLA."""

from typing import Optional

from torch import Tensor

from mmspd.errors import UserError

__all__ = ['apply_gate', 'check_gate']


def check_gate(gate: Optional[str]) -> Optional[str]:
    """Return ``gate`` if it is a known choice.

    Raises:
        UserError: it is neither ``None`` nor ``'sigmoid'``.
    """
    if gate not in (None, 'sigmoid'):
        raise UserError(f"gate={gate!r} is unknown; use None or 'sigmoid'.")
    return gate


def apply_gate(attention: Tensor, gate: Optional[str]) -> Tensor:
    """Activate an attention map."""
    return attention.sigmoid() if gate == 'sigmoid' else attention
