"""mmspd: severe blur removal with a semantic prior, for MMEngine and MMagic.

``import mmspd`` applies the repairs of :mod:`mmspd.compat`, but imports no model. The registries of
:mod:`mmspd.registry` import the models and other components at the first look-up.
"""

from mmspd import compat
from mmspd.version import __version__

compat.apply()

__all__ = ['__version__']
