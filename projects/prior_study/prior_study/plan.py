"""The plan of a study: variants of a config, each trained with several seeds."""

import copy
import functools
import hashlib
import itertools
import json
import math
import operator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmspd.apis.complexity import Cost, costs_of_parts
from mmspd.errors import UserError
from mmspd.registry import build_model
from mmspd.utils.launch import merge_options, read_config
from prior_study import controls, motion, release  # noqa: F401  # register their classes

__all__ = ['Row', 'Study', 'cost_of', 'digest_of']

# digest_of ignores these keys: they differ between machines, or have no effect in one process
_LEFT_OUT = ('work_dir', 'data_root', 'packed', 'checkpoints', 'filename', 'sync_buffers')


class Row(NamedTuple):
    """One run of a study: a variant trained with a seed."""

    variant: str
    seed: int

    def __str__(self) -> str:
        return f'{self.variant} seed {self.seed}'

    def folder(self, results: Path) -> Path:
        """Return the folder of the run in the folder of the study's results."""
        return results / self.variant / f'seed{self.seed}'


@dataclass(frozen=True)
class Variant:
    """A variant of a study, as an entry of ``variants`` in the study's file describes it.

    Args:
        name: Name of the variant.
        about: Description of the variant in the report, one line.
        base: Config to train, relative to the study's file.
        options: Changes to ``base``; merged into it like a child config.
        length: Training length as a multiple of the study's epochs. The product must be a whole
            number.
        match_macs: ``dict(to=VARIANT, key=...)``. The integer config value ``key``, a width, grows
            until the network has about as many multiply-accumulates as the network of ``VARIANT``.
        start_from: Variant whose trained weights initialize this variant. Both variants have the
            same seed.
        shuffle: Variant whose trained weights are tested with swapped priors: the prior of each
            image comes from another part of the test set. Both variants have the same seed.
            Nothing is trained, so the only other arguments are ``name`` and ``about``.
    """

    name: str
    about: str = ''
    base: str = ''
    options: Optional[Dict[str, Any]] = None
    length: float = 1
    match_macs: Optional[Dict[str, str]] = None
    start_from: Optional[str] = None
    shuffle: Optional[str] = None

    @property
    def needs(self) -> Optional[str]:
        """The variant that must be trained before this variant, or None."""
        return self.start_from or self.shuffle


class Study:
    """A study, read from its config file.

    The file holds ``epochs``, ``val_interval``, ``variants``, ``options`` and ``order``.
    ``variants`` is a list of dicts with the arguments of :class:`Variant`. ``options`` is merged
    into every variant. ``order`` is a list of ``dict(variants=[...], seeds=[...])``, with the most
    informative entry first. Within an entry, all variants of a seed come before the next seed.

    The report uses ``title``, ``primary`` (test set of the detailed columns, by default the first),
    ``front`` (test sets of a table of the first comparisons, with costs), ``claims`` (pairs of a
    variant and its reference, whose p-values are corrected together) and ``tables``. A table is a
    dict of ``title``, ``gains`` (a list of pairs of a variant and its reference) and ``shares``
    (whether to add the share of the first gain that remains).

    Args:
        path: File of the study.
        dtype: Value for ``optim_wrapper.dtype='auto'``; ``None`` is float32.

    Raises:
        UserError: The file is not a study, or has an unknown key or variant.
    """

    def __init__(self, path: str, dtype: Optional[str] = None) -> None:
        self.path = path
        self.dtype = dtype
        config = read_config(path, {})
        for key in ('variants', 'order', 'epochs'):
            if key not in config:
                raise UserError(f'{path} has no {key}; add it, or give the file of a study.')
        self.epochs: int = config.epochs
        self.val_interval: int = config.get('val_interval', 1)
        self.options: Dict[str, Any] = config.get('options', {})
        self.primary: Optional[str] = config.get('primary')
        self.front: List[str] = config.get('front', [])
        self.claims: List[Tuple[str, str]] = [tuple(pair) for pair in config.get('claims', [])]
        self.title: str = config.get('title', Path(path).stem)
        self._configs: Dict[str, Config] = {}
        self._macs: Dict[str, int] = {}
        names = [entry['name'] for entry in config.variants]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UserError(f"{path} has two variants '{twice[0]}'; give each another name.")
        self.variants = {entry['name']: self._variant(entry) for entry in config.variants}
        for variant in self.variants.values():
            if variant.needs:
                self.variant(variant.needs)
        self.tables: List[Dict[str, Any]] = config.get('tables', [])
        for table in self.tables:
            for name in (name for pair in table['gains'] for name in pair):
                self.variant(name)
        self.order = [
            Row(self.variant(name).name, seed)
            for part in config.order
            for seed in part['seeds']
            for name in part['variants']
        ]

    def _variant(self, entry: Dict[str, Any]) -> Variant:
        keys = sorted(field.name for field in fields(Variant))
        unknown = sorted(set(entry) - set(keys))
        if unknown:
            raise UserError(
                f'{self.path}: the variant {entry["name"]!r} has an unknown key {unknown[0]!r}; '
                f'choose from {", ".join(keys)}.'
            )
        variant = Variant(**entry)
        if bool(variant.base) == bool(variant.shuffle):
            raise UserError(
                f"{self.path}: the variant '{variant.name}' has both base and shuffle or neither "
                'of them; give exactly one of them.'
            )
        epochs = self.epochs * variant.length
        if epochs < 1 or not math.isclose(epochs, round(epochs)):
            raise UserError(
                f"{self.path}: the variant '{variant.name}' has length={variant.length}, which is "
                f'not a whole number of epochs at epochs={self.epochs}; change length or epochs.'
            )
        for key in variant.options or ():
            if any(other.startswith(f'{key}.') for other in variant.options):
                raise UserError(
                    f'{self.path}: the variant {variant.name!r} changes {key!r} and also '
                    f'keys below it; write all these changes in the dict of {key!r}.'
                )
        return variant

    @property
    def reported(self) -> List[str]:
        """The variants in the tables of the report, or all variants if there are no tables."""
        pairs = [pair for table in self.tables for pair in table['gains']]
        names = dict.fromkeys(name for pair in pairs for name in pair)
        return [name for name in self.variants if name in names or not names]

    def variant(self, name: str) -> Variant:
        """Return a variant by its name.

        Args:
            name: Name of the variant.

        Raises:
            UserError: The study has no variant of that name.
        """
        if name not in self.variants:
            raise UserError(
                f"{self.path} has no variant '{name}'; choose from {', '.join(self.variants)}."
            )
        return self.variants[name]

    def rows(
        self, only: Optional[Sequence[str]] = None, seeds: Optional[Sequence[int]] = None
    ) -> List[Row]:
        """Return the runs in the order of the study.

        Args:
            only: Variants to keep; by default, all variants in ``order``. A variant that is not in
                ``order`` gets seed 0.
            seeds: Seeds of each variant; by default, the seeds in ``order``.
        """
        selected = [self.variant(name).name for name in only or ()]
        rows = [row for row in self.order if not only or row.variant in selected]
        listed = {row.variant for row in rows}
        rows += [Row(name, 0) for name in selected if name not in listed]
        if seeds is not None:
            names = dict.fromkeys(row.variant for row in rows)
            rows = [Row(name, seed) for seed in seeds for name in names]
        return list(dict.fromkeys(rows))

    def config(self, row: Row) -> Config:
        """Return the config of a run, without its work folder and initial weights.

        Args:
            row: Variant and seed.

        Raises:
            UserError: A file is missing, or the options of the variant do not fit its base.
        """
        variant = self.variant(row.variant)
        if variant.shuffle:
            return self.config(Row(variant.shuffle, row.seed))
        if variant.name not in self._configs:
            self._configs[variant.name] = self._make_config(variant)
        config = copy.deepcopy(self._configs[variant.name])
        config.randomness.seed = row.seed
        return config

    def _make_config(self, variant: Variant) -> Config:
        epochs = round(self.epochs * variant.length)
        path = str(Path(self.path).parent / variant.base)
        config = read_config(path, {})
        budget = dict(
            train_cfg=dict(max_epochs=epochs, val_interval=self.val_interval),
            param_scheduler=dict(T_max=epochs),
        )
        for options in (budget, self.options, variant.options or {}):
            merge_options(config, copy.deepcopy(dict(options)), self.path)
        if config.optim_wrapper.get('dtype') == 'auto':
            config.optim_wrapper.dtype = self.dtype
        if variant.match_macs:
            self._match(config, **variant.match_macs)
        return config

    def _match(self, config: Config, to: str, key: str) -> None:
        """Set a width so that the MACs of the network are closest to those of another variant."""
        target = self._macs_of(self.config(Row(to, 0)))
        start = functools.reduce(operator.getitem, key.split('.'), config)
        distances: Dict[int, int] = {}
        for width in itertools.count(start):
            config.merge_from_dict({key: width})
            macs = self._macs_of(config)
            distances[width] = abs(macs - target)
            if macs >= target:
                break
        config.merge_from_dict({key: min(distances, key=distances.get)})

    def _macs_of(self, config: Config) -> int:
        """Count the MACs of a network; many variants have the same network."""
        network = str(config.model.generator)
        if network not in self._macs:
            self._macs[network] = cost_of(config).macs
        return self._macs[network]


def cost_of(config: Config, side: int = 256) -> Cost:
    """Count the parameters and multiply-accumulates of a config's network on a square image.

    Args:
        config: Config with ``model.generator``.
        side: Side of the image in pixels.
    """
    init_default_scope(config.get('default_scope', 'mmagic'))
    return costs_of_parts(build_model(config.model.generator), side, side)['total']


def digest_of(config: Config) -> str:
    """Return a 12-digit hash of a config. The hash does not depend on the location of files.

    Args:
        config: Config of a run.
    """
    text = json.dumps(_placeless(config.to_dict()), sort_keys=True, default=str)
    return hashlib.sha256(text.encode('utf-8')).hexdigest()[:12]


def _placeless(value: Any) -> Any:
    """Remove folders from a config, and reduce the path of a weights file to its name."""
    if isinstance(value, dict):
        return {
            key: Path(item).name if key == 'weights' else _placeless(item)
            for key, item in value.items()
            if key not in _LEFT_OUT
        }
    return [_placeless(item) for item in value] if isinstance(value, (list, tuple)) else value
