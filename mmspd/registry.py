"""Registries of mmspd: children, under the scope ``mmspd``, of MMEngine's roots.

``MODELS.build(dict(type='mmspd.MIMOUNet'))`` works right after ``import mmspd``: the folders in
``locations`` are imported at the first look-up.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

__all__ = ['DATASETS', 'DATA_SAMPLERS', 'HOOKS', 'METRICS', 'MODELS', 'TRANSFORMS']

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
METRICS = Registry(
    'metric', parent=MMENGINE_METRICS, scope='mmspd', locations=['mmspd.evaluation']
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmspd', locations=['mmspd.engine'])
