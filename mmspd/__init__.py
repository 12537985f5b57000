"""mmspd: severe blur removal with a semantic prior, for MMEngine and MMagic.

``import mmspd`` applies the repairs of :mod:`mmspd.compat`. It does not import any model: the
registries of :mod:`mmspd.registry` import the components at the first look-up.
"""

from mmspd import compat
from mmspd.version import __version__

compat.apply()

__all__ = ['__version__']
