"""Registries of mmspd: children, under the scope ``mmspd``, of MMEngine's roots.

``MODELS.build(dict(type='mmspd.MIMOUNet'))`` works right after ``import mmspd``: the folders in
``locations`` are imported at the first look-up.
"""

import importlib
from typing import Any, Union

from mmengine import registry as roots
from mmengine.registry import Registry
from torch import nn

from mmspd.errors import UserError

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
    'build_model',
    'import_sibling',
]

# Projects whose components configs may name, as in ``type='mmpretrain.ResNet'``.
SIBLINGS = ('mmagic', 'mmpretrain', 'mmseg')


def _child(root: Registry, *folders: str) -> Registry:
    """Make mmspd's child of a registry, whose components are in some folders of the package."""
    locations = [f'mmspd.{folder}' for folder in folders]
    return Registry(root.name, parent=root, scope='mmspd', locations=locations)


MODELS = _child(roots.MODELS, 'models')
DATASETS = _child(roots.DATASETS, 'datasets')
TRANSFORMS = _child(roots.TRANSFORMS, 'datasets')
DATA_SAMPLERS = _child(roots.DATA_SAMPLERS, 'datasets')
METRICS = _child(roots.METRICS, 'evaluation')
HOOKS = _child(roots.HOOKS, 'engine', 'evaluation', 'visualization')
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS, 'engine')
PARAM_SCHEDULERS = _child(roots.PARAM_SCHEDULERS, 'engine')


def build_model(cfg: Union[dict, nn.Module], **defaults: Any) -> Any:
    """Build a component of mmspd or of a sibling project, wherever its type is registered.

    Args:
        cfg: ``dict(type='mmspd.X', ...)``, ``dict(type='mmagic.X', ...)`` and so on; a module that
            is built already is returned as it is.
        **defaults: arguments that the config may leave out.

    Raises:
        UserError: the config has no ``type``, or its project cannot be imported.
    """
    if isinstance(cfg, nn.Module):
        return cfg
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise UserError(f'A component must be given as dict(type=...), but got {cfg!r}.')
    # MMEngine finds the types of a sibling project only once its registry has been imported
    scope = cfg.get('_scope_') or str(cfg['type']).rpartition('.')[0]
    if scope in SIBLINGS:
        import_sibling(scope)
    return MODELS.build(dict(cfg), default_args=defaults or None)


def import_sibling(scope: str) -> None:
    """Import the registry of an OpenMMLab project, so that its types can be built."""
    try:
        importlib.import_module(f'{scope}.registry')
    except ImportError as error:
        raise UserError(
            f'type={scope}.X needs the package {scope}, which cannot be imported ({error}); '
            'bash tools/install.sh installs the tested set.'
        ) from error
