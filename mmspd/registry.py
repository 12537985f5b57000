"""Registries of mmspd: children, under the scope ``mmspd``, of MMEngine's roots.

``MODELS.build(dict(type='mmspd.MIMOUNet'))`` works right after ``import mmspd``: the folders in
``locations`` are imported at the first look-up.
"""

import importlib
from typing import Any, Union

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
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

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmspd', locations=['mmspd.models'])
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope='mmspd', locations=['mmspd.datasets']
)
TRANSFORMS = Registry(
    'transform', parent=MMENGINE_TRANSFORMS, scope='mmspd', locations=['mmspd.datasets']
)
DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='mmspd', locations=['mmspd.datasets']
)
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='mmspd', locations=['mmspd.evaluation'])
HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmspd',
    locations=['mmspd.engine', 'mmspd.evaluation', 'mmspd.visualization'],
)
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope='mmspd',
    locations=['mmspd.engine'],
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=MMENGINE_PARAM_SCHEDULERS,
    scope='mmspd',
    locations=['mmspd.engine'],
)


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
