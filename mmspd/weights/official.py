"""Weights of the official projects: read, brought to our names, and loaded strictly."""

import re
from pathlib import Path
from typing import Any, Dict, List

import torch
from torch import Tensor, nn

from mmspd.errors import UserError
from mmspd.weights.loading import download_file, read_state, unwrap_state
from mmspd.weights.published import recognize

__all__ = [
    'check_fit',
    'describe_faults',
    'fit_official',
    'load_official',
    'official_names',
    'read_official',
]

State = Dict[str, Tensor]

# DMPHN is published as a folder of these, each the state dict of the child of that name.
DMPHN_PARTS = tuple(f'{part}_lv{level}' for part in ('encoder', 'decoder') for level in (1, 2, 3))
# What only the stages after the first of MPRNet use; its stage 1 alone leaves it out.
_LATER_STAGES = re.compile(r'(?:shallow_feat[23]|stage[23]_|sam12\.conv[13]|sam23|concat|tail)')


def load_official(restorer: nn.Module, source: str, key: str = 'load_official') -> str:
    """Load published weights into a restorer; every tensor must fit.

    Args:
        restorer: the network itself, without a prior.
        source: a weights file as its authors published it (or as
            ``tools/model_converters/official2mmspd.py`` wrote it), its http(s) address, or for
            DMPHN the folder of its six files.
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
        source: file, http(s) address, or the folder of DMPHN.
        key: the config key or argument that named it, for error messages.

    Raises:
        UserError: the weights cannot be had or read.
    """
    if '://' in source:
        source = str(download_file(source, key))
    if Path(source).is_dir():
        return _read_parts(Path(source), key)
    return _read_file(source, key)


def _read_file(path: str, key: str) -> State:
    return official_names(read_state(path, key), path)


def _read_parts(folder: Path, key: str) -> State:
    """Read the six files of DMPHN."""
    lacking = [f'{part}.pkl' for part in DMPHN_PARTS if not (folder / f'{part}.pkl').is_file()]
    if lacking:
        raise UserError(
            f'{key}: {folder} is a folder without {", ".join(lacking)}; give the folder of '
            "DMPHN's six files, or for any other restorer its file."
        )
    return {
        f'{part}.{name}': value
        for part in DMPHN_PARTS
        for name, value in _read_file(str(folder / f'{part}.pkl'), key).items()
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
    names; the file may have all of them or some. Stage 1 of MPRNet takes its part of the whole.

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
    if 'stage1_encoder.down12.down.1.weight' in own and 'tail.weight' not in own:
        fitting = {name: v for name, v in fitting.items() if not _LATER_STAGES.match(name)}
    faults = describe_faults(fitting, own)
    if faults:
        wanted, found = _title(own, type(restorer).__name__), _guess(state)
        if found == wanted:
            found = f'an incomplete or changed file of {wanted}'
        raise UserError(
            f'{key}: {source} does not fit {wanted}: {"; ".join(faults)}; it looks like {found}.'
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


def describe_faults(have: State, want: State, most: int = 3) -> List[str]:
    """Say which weights of ``have`` do not fit ``want``.

    Args:
        have: weights that are given.
        want: weights of the same names and shapes are needed.
        most: how many names of a kind to list.

    Returns:
        A phrase for each kind of fault; empty where all fit.
    """
    missing = [name for name in want if name not in have]
    unexpected = [name for name in have if name not in want]
    shapes = [
        f'{name} is {tuple(have[name].shape)} instead of {tuple(want[name].shape)}'
        for name in want
        if name in have and have[name].shape != want[name].shape
    ]
    kinds = {'missing': missing, 'unexpected': unexpected, 'of another shape': shapes}
    return [
        f'{len(names)} {kind} ({", ".join(names[:most])}{", ..." if len(names) > most else ""})'
        for kind, names in kinds.items()
        if names
    ]


def check_fit(have: State, want: State, source: str, config: str) -> None:
    """Refuse weights of a checkpoint that are not exactly those of a model.

    Args:
        have: weights of the checkpoint.
        want: the model's.
        source: the checkpoint's file, for the error.
        config: the model's config, likewise.

    Raises:
        UserError: weights are missing, unexpected or of another shape; it names the first.
    """
    faults = describe_faults(have, want)
    if faults:
        raise UserError(
            f'{source} does not fit the model of {config}: {"; ".join(faults)}; use the config '
            'that the checkpoint was trained with, a copy of which is in its work folder'
        )


def _title(state: State, otherwise: str) -> str:
    found = recognize(state)
    return otherwise if found is None else found.title


def _guess(state: State) -> str:
    """What a state dict that does not fit looks like."""
    found = recognize(state)
    if found is not None:
        return found.title
    if any(name.startswith(('generator.', 'restorer.')) for name in state):
        return 'a checkpoint of tools/train.py, which load_from takes'
    if 'layer1.weight' in state or 'layer13.0.weight' in state:
        return "one of DMPHN's six files, give the folder that holds them all"
    return f'no restorer that is known here (its first tensor is {next(iter(state))})'
