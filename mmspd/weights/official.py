"""Read official weights of restorers, rename them and load them strictly."""

import re
from pathlib import Path
from typing import Any, Dict, List

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.weights.containers import unwrap_state
from mmspd.weights.fit import describe_faults
from mmspd.weights.loading import read_state
from mmspd.weights.published import families, find_family, recognize
from mmspd.weights.sources import resolve_name

__all__ = [
    'fit_official',
    'load_official',
    'load_official_state',
    'official_names',
    'read_official',
]

State = Dict[str, Tensor]
_GENERATOR = 'generator.'


def load_official(restorer: nn.Module, source: str, key: str = 'load_official') -> str:
    """Load published weights strictly into a restorer.

    Args:
        restorer: The network itself, without a prior.
        source: A weights file, its address, or a folder if the restorer is published as
            several files. The file is from the authors or from
            ``tools/model_converters/official2mmspd.py``.
        key: The config key or argument with the source, for error messages.

    Returns:
        A phrase for the log that describes the weights.

    Raises:
        UserError: The weights are missing, unreadable, or do not fit the restorer.

    Examples:
        >>> import tempfile, torch
        >>> from mmspd.models.restorers import MIMOUNet
        >>> from mmspd.weights.official import load_official
        >>> network, published = (MIMOUNet(base=8, num_res=1) for _ in range(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/weights.pth'
        ...     torch.save({'model': published.state_dict()}, path)
        ...     phrase = load_official(network, path)
        >>> phrase.partition(' from ')[0]
        'MIMO-UNet of another size (base=8, num_res=1)'
    """
    return load_official_state(restorer, read_official(source, key), source, key)


def load_official_state(restorer: nn.Module, state: State, source: str, key: str) -> str:
    """Load weights that :func:`read_official` returned strictly into a restorer.

    Args:
        restorer: The network itself, without a prior.
        state: The weights under the official names.
        source: The file, address or folder of the weights, for messages.
        key: The config key or argument with the source, for error messages.

    Returns:
        A phrase for the log that describes the weights.

    Raises:
        UserError: The weights do not fit the restorer.
    """
    fitting = fit_official(restorer, state, source, key)
    restorer.load_state_dict(fitting, strict=True)
    left = len(state.keys() - fitting.keys())
    left_out = f', {left} of later stages left out' if left else ''
    return f'{_title(state, "the weights")} from {source} ({len(fitting)} tensors{left_out})'


def read_official(source: str, key: str) -> State:
    """Read published weights and rename them to the names of the restorer.

    Args:
        source: A file, its address, its name (see :func:`~mmspd.weights.sources.resolve_name`), or
            the folder of a restorer that is published as several files.
        key: The config key or argument with the source, for error messages.

    Returns:
        The state dict.

    Raises:
        UserError: The weights are missing or unreadable.
    """
    source = resolve_name(source, key=key)
    if '://' in source or not Path(source).is_dir():
        return official_names(read_state(source, key), source)
    files = {path.stem: str(path) for path in Path(source).glob('*.pkl')}
    split = [family for family in families() if family.parts]
    family = max(split, key=lambda family: len(files.keys() & set(family.parts)))
    lacking = [f'{part}.pkl' for part in family.parts if part not in files]
    if lacking:
        raise UserError(
            f'{key}: the folder {source} lacks {", ".join(lacking)}; use a folder with all '
            f'{len(family.parts)} files of {family.title}, or set {key} to a single weights file.'
        )
    return {
        f'{part}.{name}': value
        for part in family.parts
        for name, value in official_names(read_state(files[part], key), files[part]).items()
    }


def official_names(content: Any, path: str) -> State:
    """Rename the weights of a checkpoint to the names of the restorer.

    This removes the prefixes of :func:`~mmspd.weights.containers.unwrap_state`, and ``generator.``
    of MMagic.

    Args:
        content: A checkpoint, or the state dict in a checkpoint.
        path: The file, for error messages.

    Returns:
        The state dict.

    Raises:
        UserError: The checkpoint contains no weights.
    """
    state = unwrap_state(content, path)
    if all(name.startswith(_GENERATOR) for name in state):
        return {name[len(_GENERATOR) :]: value for name, value in state.items()}
    return state


def fit_official(restorer: nn.Module, state: State, source: str, key: str) -> State:
    """Convert published weights to a state dict that loads strictly into a restorer.

    A weight that the restorer shares between layers, such as the PReLU of MPRNet and MSSNet, has
    many names. The file may contain all or some of these names. If the restorer has only the first
    stage, the weights of later stages are dropped.

    Args:
        restorer: The network.
        state: The weights under the official names.
        source: The file or folder of the weights, for error messages.
        key: The config key or argument with the source, for error messages.

    Returns:
        The state dict.

    Raises:
        UserError: A tensor is missing, unexpected, or has another shape.

    Examples:
        >>> from mmspd.models.restorers import MPRNet
        >>> from mmspd.weights.official import fit_official
        >>> sizes = dict(base=8, growth=4, orsnet_growth=4, num_cab=1)
        >>> published, stage1 = MPRNet(**sizes), MPRNet(**sizes, num_stages=1)
        >>> state = fit_official(stage1, published.state_dict(), 'MPRNet.pth', 'load_official')
        >>> stage1.load_state_dict(state)
        <All keys matched successfully>
    """
    own = restorer.state_dict(keep_vars=True)
    fitting = {**state, **_aliases(own, state, source, key)}
    family = find_family(own)
    if family is not None and family.later_stages:
        is_later = re.compile(family.later_stages).match
        if not any(map(is_later, own)):  # the restorer has only the first stage
            fitting = {name: v for name, v in fitting.items() if not is_later(name)}
    faults = describe_faults(fitting, own)
    if faults:
        expected = _title(own, type(restorer).__name__)
        raise UserError(
            f'{key}: {source} does not fit {expected}: {", ".join(faults)}; '
            f'{_advise(state, expected)}.'
        )
    return {name: fitting[name] for name in own}


def _aliases(own: State, state: State, source: str, key: str) -> State:
    """Return a dict with each shared weight under all names of this weight.

    ``state`` may contain a shared weight under only one of these names.
    """
    names_of: Dict[int, List[str]] = {}
    for name, tensor in own.items():
        names_of.setdefault(id(tensor), []).append(name)
    filled = {}
    for names in names_of.values():
        given = [name for name in names if name in state]
        if len(names) == 1 or not given:
            continue
        value = state[given[0]]
        if not all(torch.equal(value, state[name]) for name in given):
            raise UserError(
                f'{key}: {source} has different values for {given[0]} and {given[-1]}, two '
                f"names of one weight in {_title(own, 'the restorer')}; use the authors' file."
            )
        filled.update(dict.fromkeys(names, value))
    return filled


def _title(state: State, otherwise: str) -> str:
    match = recognize(state)
    return otherwise if match is None else match.title


def _advise(state: State, expected: str) -> str:
    """Return the fix for a state dict that does not fit the expected restorer."""
    match = recognize(state)
    if match is not None and match.title == expected:
        return f'use an unmodified file of {expected}, because this file was changed'
    if match is not None:
        return f'use weights of {expected}, because these weights look like {match.title}'
    if any(name.startswith(('generator.', 'restorer.')) for name in state):
        return 'use load_from for this file, because it is a checkpoint of mmspd train'
    for family in families():
        # the names in a single file lack the prefix with the name of the part
        if family.parts and any(mark.partition('.')[2] in state for mark in family.marks):
            files = f'{len(family.parts)} files of {family.title}'
            return f'give the folder with all {files}, because this file is only one of them'
    unknown = f'these weights are of an unknown restorer (first tensor: {next(iter(state))})'
    return f'use weights of {expected}, because {unknown}'
