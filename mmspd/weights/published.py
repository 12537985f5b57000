"""Recognize published restorers from the names and shapes of their weights.

Each restorer's module registers a :class:`Family` with the facts about its published weights.
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
    'switched_off',
    'usual_size',
]

#: Largest argument of a restorer. Names and shapes in a damaged file may suggest larger ones.
MAX_SIZE = 4096

State = Dict[str, Tensor]
Arguments = Dict[str, Any]


class Recognized(NamedTuple):
    """The restorer to which a state dict belongs.

    Attributes:
        name: Name of the restorer for the converter, for example ``mimounetplus``.
        title: Name in messages, for example ``MIMO-UNet+``.
        cfg: A config that builds the restorer.
    """

    name: str
    title: str
    cfg: Arguments


class Published(NamedTuple):
    """A published size of a restorer.

    Attributes:
        name: Name for the converter, for example ``mimounetplus``.
        title: Name in messages, for example ``MIMO-UNet+``.
        sizes: Arguments of the constructor for this size, as :attr:`Family.sizes` reads them from
            the published weights.
    """

    name: str
    title: str
    sizes: Arguments


class Family(NamedTuple):
    """The published restorers of one class.

    Attributes:
        type: Registered name of the class.
        title: Name of the class in messages.
        marks: Names of convolution weights that all restorers of this family have. No restorer
            of another family may have all of these names.
        sizes: Function that reads the constructor's arguments from a state dict of this family.
        published: The published sizes. List the usual size first.
        parts: Names of the files, without the suffix ``.pkl``, if the weights are published as
            several files. Each file contains the state dict of the child module with the same name.
        later_stages: Regular expression for the names of the weights that a restorer with only the
            first stage does not use.
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
    """Register a family of published weights, so that mmspd recognizes and loads them.

    Args:
        family: The family. A family with the same ``type`` is replaced.

    Examples:
        >>> import torch
        >>> from mmspd.weights.published import Family, Published, recognize, register_family
        >>> register_family(
        ...     Family(
        ...         'mmspd.MyNet',
        ...         'MyNet',
        ...         marks=['my_intro.weight'],
        ...         sizes=lambda state: dict(base=state['my_intro.weight'].shape[0]),
        ...         published=[Published('mynet', 'MyNet', dict(base=32))],
        ...     )
        ... )
        >>> recognize({'my_intro.weight': torch.rand(32, 3, 3, 3)})
        Recognized(name='mynet', title='MyNet', cfg={'type': 'mmspd.MyNet', 'base': 32})
    """
    _FAMILIES[family.type] = family


def families() -> List[Family]:
    """Return all families.

    Returns:
        A list of the families of all restorers. The modules of the restorers are imported first,
        because they register the families.
    """
    MODELS.import_from_location()
    return list(_FAMILIES.values())


def published_names() -> List[str]:
    """Return the converter's names for the published restorers.

    Returns:
        The names in alphabetical order.
    """
    return sorted({size.name for family in families() for size in family.published})


def usual_size(name: str) -> Arguments:
    """Return the config of a published restorer in its usual size.

    Args:
        name: Name of the restorer, one of :func:`published_names`.

    Returns:
        The config of the first published size of this name.
    """
    sizes = [(family.type, size) for family in families() for size in family.published]
    return next(dict(type=kind, **size.sizes) for kind, size in sizes if size.name == name)


def count_modules(state: State, pattern: str) -> int:
    """Count the modules in a sequence.

    Args:
        state: A state dict.
        pattern: A regular expression; its first group matches the index of a module.

    Returns:
        The largest index plus 1, or 0 if no name matches.
    """
    places = [int(match[1]) for match in map(re.compile(pattern).match, state) if match]
    return 1 + max(places, default=-1)


def switched_off(state: State, **prefixes: str) -> Arguments:
    """Find the modules that a restorer lacks because an argument switches them off.

    Args:
        state: A state dict.
        **prefixes: For each switch, the start of the names of the tensors of its modules.

    Returns:
        A dict with ``False`` for each switch without a tensor; it lacks the other switches.

    Examples:
        >>> from mmspd.models.restorers import MIMOUNet
        >>> from mmspd.weights.published import switched_off
        >>> state = MIMOUNet(base=4, num_res=1, aff=False).state_dict()
        >>> switched_off(state, aff='AFFs.', multi_output='ConvsOut.')
        {'aff': False}
    """
    return {
        switch: False
        for switch, prefix in prefixes.items()
        if not any(name.startswith(prefix) for name in state)
    }


def find_family(state: State) -> Optional[Family]:
    """Find the family of a state dict.

    Args:
        state: Weights under the official names.

    Returns:
        The family whose :attr:`Family.marks` are all in the state dict, or ``None`` if there is
        none.
    """
    for family in families():
        if all(mark in state and state[mark].dim() == 4 for mark in family.marks):
            return family
    return None


def recognize(state: State) -> Optional[Recognized]:
    """Find the restorer and the size of a state dict.

    Args:
        state: Weights under the official names, without wrappers and prefixes.

    Returns:
        The restorer and its size, which may be unpublished; ``None`` if the restorer is unknown.

    Examples:
        >>> from mmspd.models.restorers import MIMOUNet
        >>> from mmspd.weights.published import recognize
        >>> match = recognize(MIMOUNet(num_res=20).state_dict())
        >>> match.title, match.cfg['num_res']
        ('MIMO-UNet+', 20)
    """
    family = find_family(state)
    if family is None:
        return None
    try:
        sizes = family.sizes(state)
    except (KeyError, IndexError, TypeError, ValueError):  # tensors are missing or were changed
        return None
    if any(number > MAX_SIZE for number in _numbers_in(list(sizes.values()))):
        return None
    nearest = max(family.published, key=lambda size: _agreement(size.sizes, sizes))
    title = nearest.title
    if nearest.sizes != sizes:
        listed = ', '.join(f'{key}={value!r}' for key, value in sizes.items())
        title = f'{family.title} of another size ({listed})'
    return Recognized(nearest.name, title, dict(type=family.type, **sizes))


def _numbers_in(value: Any) -> List[int]:
    if isinstance(value, (list, tuple)):
        return [number for part in value for number in _numbers_in(part)]
    return [value] if isinstance(value, int) else []


def _agreement(published: Arguments, sizes: Arguments) -> Tuple[bool, int]:
    """Rank a published size: an exact match first, then by the number of equal arguments."""
    return published == sizes, sum(published.get(key) == value for key, value in sizes.items())
