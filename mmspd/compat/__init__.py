"""Repairs that let the OpenMMLab packages run with current packages, and one of older Pythons.

MMagic's last release is 1.2.0 (December 2023); MMEngine's last release is 0.10.7. Each repair names
the upstream fault. It is applied when the faulty module is imported, so ``import mmspd`` imports
none of these packages. :func:`apply` runs when ``mmspd`` is imported.
"""

from mmspd.compat import (
    hooks,
    mmagic,
    mmcv_ops,
    mmengine_configs,
    mmengine_packages,
    process_pools,
)

__all__ = ['apply']


def apply() -> None:
    """Repair the modules that are imported already, and the others when they are imported."""
    hooks.before_import('mmcv.ops', mmcv_ops.add_ext_placeholder)
    hooks.before_import('mmagic.utils.trans_utils', mmagic.restore_numpy_bool8)
    nafnet = 'mmagic.models.editors.nafnet'
    hooks.after_import(f'{nafnet}.naf_layerNorm2d', mmagic.let_nafnet_compile)
    hooks.after_import(f'{nafnet}.naf_avgpool2d', mmagic.pool_nafnet_in_float32)
    restormer = 'mmagic.models.editors.restormer.restormer_net'
    hooks.after_import(restormer, mmagic.normalize_restormer_exactly)
    hooks.after_import('concurrent.futures.process', process_pools.end_broken_pools)
    hooks.after_import('mmengine.config.config', mmengine_configs.repair)
    hooks.after_import('mmengine.config.utils', mmengine_packages.add_mmspd)
    hooks.after_import('mmengine.utils.package_utils', mmengine_packages.repair)
    mmagic.import_parts_only()
