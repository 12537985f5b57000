"""The registries of mmspd: children of MMEngine's root registries, with the scope ``mmspd``.

``MODELS.build(dict(type='mmspd.MIMOUNet'))`` works right after ``import mmspd``. At the first
look-up, a registry imports the subpackages in its ``locations``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Union

from mmengine import registry as roots
from mmengine.registry import Registry

from mmspd.errors import UserError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'FUNCTIONS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
    'build_model',
    'import_sibling',
]

# Other projects that a config may name, for example ``type='mmpretrain.ResNet'``.
SIBLINGS = ('mmagic', 'mmpretrain', 'mmseg')


def _child(root: Registry, *folders: str) -> Registry:
    """Make a child registry with the scope ``mmspd`` that imports the given subpackages."""
    locations = [f'mmspd.{folder}' for folder in folders]
    return Registry(root.name, parent=root, scope='mmspd', locations=locations)


MODELS = _child(roots.MODELS, 'models')
DATASETS = _child(roots.DATASETS, 'datasets')
TRANSFORMS = _child(roots.TRANSFORMS, 'datasets')
DATA_SAMPLERS = _child(roots.DATA_SAMPLERS, 'datasets')
FUNCTIONS = _child(roots.FUNCTIONS, 'datasets')
METRICS = _child(roots.METRICS, 'evaluation')
HOOKS = _child(roots.HOOKS, 'engine', 'evaluation', 'visualization')
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(roots.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
PARAM_SCHEDULERS = _child(roots.PARAM_SCHEDULERS, 'engine')


def build_model(cfg: Union[dict, nn.Module], **defaults: Any) -> Any:
    """Build a component of mmspd or of a sibling project (mmagic, mmpretrain, mmseg).

    Args:
        cfg: A config such as ``dict(type='mmspd.X', ...)`` or ``dict(type='mmagic.X', ...)``. A
            built module is returned unchanged.
        **defaults: Default values for arguments that are missing from the config.

    Returns:
        The component.

    Raises:
        UserError: The config has no ``type``, or the sibling project cannot be imported.

    Examples:
        >>> from mmspd.registry import build_model
        >>> build_model(dict(type='mmspd.UNet', base=8)).seams
        ('dec3', 'dec2', 'dec1')
        >>> build_model(dict(type='mmagic.L1Loss'), loss_weight=2.0).loss_weight
        2.0
    """
    from torch import nn  # slow to import

    if isinstance(cfg, nn.Module):
        return cfg
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f'A component config is {cfg!r}; write it as dict(type=...).')
    # MMEngine finds the types of a sibling project only after that project's registry is imported.
    scope = cfg.get('_scope_') or str(cfg['type']).rpartition('.')[0]
    if scope in SIBLINGS:
        import_sibling(scope)
    return MODELS.build(dict(cfg), default_args=defaults or None)


def import_sibling(scope: str) -> None:
    """Import the registry of an OpenMMLab project, so that its types can be built.

    Args:
        scope: Name of the project's package, for example ``'mmpretrain'``.

    Raises:
        UserError: The package cannot be imported.
    """
    try:
        importlib.import_module(f'{scope}.registry')
    except ImportError as error:
        raise UserError(
            f'type={scope}.X needs the package {scope}, which cannot be imported ({error}); run '
            'mmspd doctor --fix to install MMagic and mmcv-lite.'
        ) from error
