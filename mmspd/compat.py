"""Repairs of the OpenMMLab stack on today's releases."""


def apply() -> None:
    """Apply every repair that this machine needs."""
