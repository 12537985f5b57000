"""Published restorers, recognized by the names and sizes in their weights.

The facts of each stand beside its network: the module registers a :class:`Family`.
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

from mmspd.registry import MODELS

__all__ = [
    'Family',
    'Published',
    'Recognized',
    'count_modules',
    'families',
    'find_family',
    'published_names',
    'recognize',
    'register_family',
    'usual_size',
]

State = Dict[str, Tensor]
Arguments = Dict[str, Any]


class Recognized(NamedTuple):
    """The restorer that a state dict is of.

    Attributes:
        name: the restorer's name for the converter, such as ``mimounetplus``.
        title: in prose, such as ``MIMO-UNet+``.
        cfg: a config that builds it.
    """

    name: str
    title: str
    cfg: Arguments


class Published(NamedTuple):
    """A published size: name, title, and the arguments that are read off its weights."""

    name: str
    title: str
    sizes: Arguments


class Family(NamedTuple):
    """Published restorers of one class.

    Attributes:
        type: registered name of the class.
        title: its name in prose.
        marks: convolutions that all of them have; no other family has them all.
        sizes: reads the constructor's arguments off a state dict that has the marks.
        published: the usual size first.
        parts: names of the files, where the weights are a folder of files; each file is the state
            dict of the child of its name.
        later_stages: pattern of the weights that the first stage alone leaves out of a file.
    """

    type: str
    title: str
    marks: Sequence[str]
    sizes: Callable[[State], Arguments]
    published: Sequence[Published]
    parts: Sequence[str] = ()
    later_stages: str = ''


_FAMILIES: Dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Let the published weights of a restorer be recognized."""
    _FAMILIES[family.type] = family


def families() -> List[Family]:
    """All families; the modules of the restorers are imported for them."""
    MODELS.import_from_location()
    return list(_FAMILIES.values())


def published_names() -> List[str]:
    """Names of the published restorers, as the converter takes them."""
    return sorted({size.name for family in families() for size in family.published})


def usual_size(name: str) -> Arguments:
    """Config of the restorer of a published name, in the size that is published first."""
    sizes = [(family.type, size) for family in families() for size in family.published]
    return next(dict(type=kind, **size.sizes) for kind, size in sizes if size.name == name)


def count_modules(state: State, pattern: str) -> int:
    """Number of modules in a row, given a pattern with the place as its group."""
    places = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    return 1 + max(places, default=-1)


def find_family(state: State) -> Optional[Family]:
    """The family whose marks a state dict has, or ``None``."""
    for family in families():
        if all(mark in state and state[mark].dim() == 4 for mark in family.marks):
            return family
    return None


def recognize(state: State) -> Optional[Recognized]:
    """Tell which restorer a state dict is of.

    Args:
        state: weights under the official names, without wrappers and prefixes.

    Returns:
        The restorer and the sizes read off the weights, published or not; ``None`` where the
        weights are of no restorer that is known here.
    """
    family = find_family(state)
    if family is None:
        return None
    sizes = family.sizes(state)
    nearest = max(family.published, key=lambda size: _agreement(size.sizes, sizes))
    title = nearest.title
    if nearest.sizes != sizes:
        listed = ', '.join(f'{key}={value!r}' for key, value in sizes.items())
        title = f'{family.title} of another size ({listed})'
    return Recognized(nearest.name, title, dict(type=family.type, **sizes))


def _agreement(published: Arguments, sizes: Arguments) -> Tuple[bool, int]:
    """How near two sizes are: equal ones first, then by the number of arguments they share."""
    return published == sizes, sum(published.get(key) == value for key, value in sizes.items())
