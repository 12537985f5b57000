"""Weights of the official projects: read, brought to our names, and loaded strictly."""

import re
from pathlib import Path
from typing import Any, Dict, List

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.weights.loading import download_file, read_state, unwrap_state
from mmspd.weights.published import families, find_family, recognize

__all__ = [
    'check_fit',
    'describe_faults',
    'fit_official',
    'load_official',
    'official_names',
    'read_official',
]

State = Dict[str, Tensor]


def load_official(restorer: nn.Module, source: str, key: str = 'load_official') -> str:
    """Load published weights into a restorer; every tensor must fit.

    Args:
        restorer: the network itself, without a prior.
        source: a weights file as its authors published it (or as
            ``tools/model_converters/official2mmspd.py`` wrote it), its http(s) address, or a folder
            where it is published as several files.
        key: the config key or argument that named it, for error messages.

    Returns:
        What was loaded, as a phrase for the log.

    Raises:
        UserError: the weights cannot be had or read, or are not of this very restorer.
    """
    state = read_official(source, key)
    fitting = fit_official(restorer, state, source, key)
    restorer.load_state_dict(fitting, strict=True)
    left = len(state.keys() - fitting.keys())
    left_out = f', {left} of later stages left out' if left else ''
    return f'{_title(state, "the weights")} from {source} ({len(fitting)} tensors{left_out})'


def read_official(source: str, key: str) -> State:
    """Read published weights, under the names that the restorer itself gives them.

    Args:
        source: file, http(s) address, or the folder of a restorer that is published as several
            files.
        key: the config key or argument that named it, for error messages.

    Raises:
        UserError: the weights cannot be had or read.
    """
    if '://' in source:
        source = str(download_file(source, key))
    if not Path(source).is_dir():
        return official_names(read_state(source, key), source)
    files = {path.stem: str(path) for path in Path(source).glob('*.pkl')}
    split = [family for family in families() if family.parts]
    family = max(split, key=lambda family: len(files.keys() & set(family.parts)))
    lacking = [f'{part}.pkl' for part in family.parts if part not in files]
    if lacking:
        raise UserError(
            f'{key}: {source} is a folder without {", ".join(lacking)}; give the folder with all '
            f'{len(family.parts)} files of {family.title}, or for any other restorer its file.'
        )
    return {
        f'{part}.{name}': value
        for part in family.parts
        for name, value in official_names(read_state(files[part], key), files[part]).items()
    }


def official_names(content: Any, path: str) -> State:
    """Bring a checkpoint's weights to the names that the restorer itself gives them.

    Args:
        content: a checkpoint, or the state dict in it; the wrappers ``module.`` of data-parallel
            training and ``generator.`` of MMagic are taken off the names.
        path: its file, for error messages.

    Raises:
        UserError: there are no weights in it.
    """
    state = unwrap_state(content, path)
    for prefix in ('module.', 'generator.'):
        if all(name.startswith(prefix) for name in state):
            state = {name[len(prefix) :]: value for name, value in state.items()}
    return state


def fit_official(restorer: nn.Module, state: State, source: str, key: str) -> State:
    """Make of published weights a state dict that loads strictly into a restorer.

    A weight that the restorer uses in many places (the one PReLU of MPRNet and MSSNet) has many
    names; the file may have all of them or some. A restorer's first stage takes its part of the
    whole.

    Args:
        restorer: the network.
        state: the weights under official names.
        source: where they come from, for error messages.
        key: the config key or argument that named it, likewise.

    Raises:
        UserError: a tensor is missing, superfluous or of another shape.
    """
    own = restorer.state_dict(keep_vars=True)
    fitting = {**state, **_aliases(own, state, source, key)}
    family = find_family(own)
    if family is not None and family.later_stages:
        is_later = re.compile(family.later_stages).match
        if not any(map(is_later, own)):  # the restorer is the first stage alone
            fitting = {name: v for name, v in fitting.items() if not is_later(name)}
    faults = describe_faults(fitting, own)
    if faults:
        expected, actual = _title(own, type(restorer).__name__), _describe(state)
        if actual == expected:
            actual = f'an incomplete or changed file of {expected}'
        raise UserError(
            f'{key}: {source} does not fit {expected}: {"; ".join(faults)}; it looks like {actual}.'
        )
    return {name: fitting[name] for name in own}


def _aliases(own: State, state: State, source: str, key: str) -> State:
    """Values for all names of each weight that has several, from those that are given."""
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
                f'{key}: {source} holds different values for {given[0]} and {given[-1]}, which '
                f'are one weight of {_title(own, "the restorer")}; it comes from another '
                'implementation, give the file of the authors.'
            )
        filled.update(dict.fromkeys(names, value))
    return filled


def describe_faults(given: State, expected: State) -> List[str]:
    """Say which weights of ``given`` do not fit ``expected``.

    Args:
        given: the weights.
        expected: weights of the names and shapes that are needed.

    Returns:
        A phrase for each kind of fault, with three names at most; empty where all fit.
    """
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    shapes = [
        f'{name} is {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}'
        for name in expected
        if name in given and given[name].shape != expected[name].shape
    ]
    kinds = {'missing': missing, 'unexpected': unexpected, 'of another shape': shapes}
    return [
        f'{len(names)} {kind} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
        for kind, names in kinds.items()
        if names
    ]


def check_fit(given: State, expected: State, source: str, config: str) -> None:
    """Refuse weights of a checkpoint that are not exactly those of a model.

    Args:
        given: weights of the checkpoint.
        expected: the model's weights.
        source: the checkpoint's file, for the error.
        config: the model's config, likewise.

    Raises:
        UserError: weights are missing, unexpected or of another shape; it names the first.
    """
    faults = describe_faults(given, expected)
    if faults:
        raise UserError(
            f'{source} does not fit the model of {config}: {"; ".join(faults)}; use the config '
            'that the checkpoint was trained with, a copy of which is in its work folder'
        )


def _title(state: State, otherwise: str) -> str:
    match = recognize(state)
    return otherwise if match is None else match.title


def _describe(state: State) -> str:
    """Describe a state dict that does not fit."""
    match = recognize(state)
    if match is not None:
        return match.title
    if any(name.startswith(('generator.', 'restorer.')) for name in state):
        return 'a checkpoint of tools/train.py, which load_from takes'
    for family in families():
        # the marks of a part, without the part's name
        if family.parts and any(mark.partition('.')[2] in state for mark in family.marks):
            files = f'{len(family.parts)} files of {family.title}'
            return f'one of the {files}, give the folder that holds them all'
    return f'no restorer that is known here (its first tensor is {next(iter(state))})'
