"""mmspd: severe blur removal with a semantic prior, for MMEngine and MMagic.

Importing the package applies the repairs of :mod:`mmspd.compat` and registers nothing heavy; the
registries of :mod:`mmspd.registry` import their components at the first look-up.
"""

from mmspd import compat
from mmspd.version import __version__

compat.apply()

__all__ = ['__version__']
