"""Prepare a process for configs of mmspd, as OpenMMLab's packages do."""

__all__ = ['register_all_modules']


def register_all_modules(init_default_scope: bool = True) -> None:
    """Prepare a process that builds the parts of a config without MMEngine's runner.

    MMEngine's ``get_model`` calls this function. The registries of mmspd and MMagic import a
    component when its name is first used, so nothing is imported here.

    Args:
        init_default_scope: Whether to set the default scope to ``'mmagic'``, as the recipes do.
    """
    from mmengine import registry

    from mmspd.registry import import_sibling

    import_sibling('mmagic')
    if init_default_scope:
        registry.init_default_scope('mmagic')
