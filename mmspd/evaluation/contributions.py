"""Check results that users contribute: of published weights and of trained recipes."""

import math
import re
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import finite_mean
from mmspd.evaluation.results import Result
from mmspd.utils.bases import read_protocols
from mmspd.utils.launch import read_config
from mmspd.utils.package_files import package_file
from mmspd.weights.by_name import find_named
from mmspd.weights.catalog import Score

__all__ = ['TEST_SETS', 'TOLERANCE', 'Contributions', 'check_published', 'check_result', 'read_all']

#: Largest difference in dB between a measured and a published PSNR.
TOLERANCE = 0.02

#: Class, options and number of pairs of each complete test set.
TEST_SETS: Dict[str, Dict[str, Any]] = {
    'GoPro': dict(type='GoProDataset', split='test', blur_key='blur', images=1111),
    'GoPro, blur_gamma': dict(
        type='GoProDataset', split='test', blur_key='blur_gamma', images=1111
    ),
    'HIDE': dict(type='HIDEDataset', split='test', images=2025),
    'RealBlur-J': dict(type='RealBlurDataset', split='test', subset='J', images=980),
}

#: Parts of the provenance on which the numbers of a result depend.
_STAMP = (
    *('protocol', 'dataset', 'rounding', 'self_ensemble', 'tiling', 'precision', 'checkpoint'),
    *('config', 'versions', 'machine', 'date'),
)
_DICTS = ('dataset', 'checkpoint', 'config', 'versions', 'machine')
_SHA256 = re.compile('[0-9a-f]{64}')

#: Results by the name of the recipe or of the weights, and by test set, with their files.
Contributions = Dict[Tuple[str, str], Tuple[Path, Result]]


def check_result(result: Result, recipe: str, protocol: Optional[str] = None) -> str:
    """Check that a result is complete evidence for the numbers of a recipe.

    The result must come from ``mmspd test`` on a complete test set, in float32, and without tiles
    and self-ensemble. Its values of the images must agree with its means.

    Args:
        result: The result.
        recipe: Name of the recipe.
        protocol: Required protocol, or None for that of the recipe.

    Returns:
        The name of the test set in :data:`TEST_SETS`.

    Raises:
        UserError: A condition is not fulfilled.
    """
    dataset = _test_set_of(result)
    _check_conditions(result.provenance, recipe, protocol)
    _check_values(result, TEST_SETS[dataset]['images'])
    return dataset


def _check_conditions(stamp: Mapping[str, Any], recipe: str, protocol: Optional[str]) -> None:
    """Check the recipe, the protocol, the options and the versions of a test."""
    path = next(package_file('configs', 'spd').rglob(f'{recipe}.py'), None)
    if path is None:
        raise UserError(f'There is no recipe {recipe!r}; use the name of a file in configs/spd.')
    config = read_config(str(path), {})
    protocol = protocol or str(config.protocol)
    _, metrics = read_protocols([protocol])
    window = config.model.get('test_cfg', {}).get('window')
    conditions = {
        'config.recipe': (stamp['config'].get('recipe'), recipe, f'test {recipe}'),
        'protocol': (stamp['protocol'], protocol, f'test with --protocol {protocol}'),
        'rounding': (
            stamp['rounding'],
            metrics[0].get('rounding', 'nearest'),
            'test with the unchanged metrics of the protocol',
        ),
        'self_ensemble': (stamp['self_ensemble'], False, 'test without --self-ensemble'),
        'tiling': (stamp['tiling'], None, 'test without --tile'),
        'window': (stamp.get('window'), window, 'test with the window of the recipe'),
        # the name of the precision may be followed by a remark on TF32
        'precision': (
            str(stamp['precision']).partition(' ')[0],
            'float32',
            'test with --precision float32',
        ),
    }
    for name, (value, needed, fix) in conditions.items():
        if value != needed:
            raise UserError(f'{name} of the result is {value!r}, not {needed!r}; {fix}.')
    if not _SHA256.fullmatch(str(stamp['checkpoint'].get('sha256'))):
        raise UserError(
            'The result has no SHA-256 of the checkpoint; test a checkpoint or published weights.'
        )
    if not stamp['versions'].get('mmspd'):
        raise UserError('The result has no version of mmspd; use a result of mmspd test.')


def _test_set_of(result: Result) -> str:
    """Return the name of the complete test set of a result with a complete stamp."""
    stamp = result.provenance
    if not result.has_model:
        raise UserError('The result is of finished images; use a result of mmspd test.')
    lacking = [name for name in _STAMP if name not in stamp]
    lacking += [name for name in _DICTS if not isinstance(stamp.get(name), dict)]
    if lacking:
        raise UserError(f'The result has no {lacking[0]}; use a result of mmspd test.')
    dataset = stamp['dataset']
    for name, choices in TEST_SETS.items():
        if all(dataset.get(key) == value for key, value in choices.items()):
            return name
    described = ', '.join(f'{key} {value}' for key, value in dataset.items() if key != 'root')
    raise UserError(
        f'The result is not of a complete test set ({described}); test on all images of '
        f'{", ".join(TEST_SETS)}.'
    )


def _check_values(result: Result, count: int) -> None:
    """Check that each image has values, and that their means are those of the result."""
    keys = {image.get('key') for image in result.images}
    if len(result.images) != count or len(keys) != count:
        raise UserError(
            f'The result has values of {len(keys)} images instead of {count}; test on all images.'
        )
    if not isinstance(result.metrics.get('PSNR'), float):
        raise UserError('The result has no PSNR; test with the protocol of the recipe.')
    for name, info in result.metric_info.items():
        if info.higher_is_better is None or name not in result.metrics:
            continue
        mean = finite_mean([image.get(name) for image in result.images])
        if not math.isclose(mean, result.metrics[name], abs_tol=1e-6):
            raise UserError(
                f'{name} is {result.metrics[name]:.6f}, but the mean over the images is '
                f'{mean:.6f}; use the unchanged result of mmspd test.'
            )


def check_published(result: Result, name: str) -> Score:
    """Check that a result of published weights agrees with their published PSNR.

    Args:
        result: The result.
        name: Name of the weights, see :mod:`mmspd.weights.catalog`; or ``'official'`` for the
            weights with the name of the tested recipe.

    Returns:
        The published result on the test set.

    Raises:
        UserError: :func:`check_result` refuses the result, the checkpoint is not the published
            file, nothing is published for the test set, or the PSNR differs by more than
            :data:`TOLERANCE`.
    """
    dataset = _test_set_of(result)
    weights = find_named(name, result.provenance['config'].get('recipe'))
    name = weights.name
    scores = [score for score in weights.scores if score.dataset == dataset]
    if not scores:
        raise UserError(
            f'The authors of {name} published no PSNR on {dataset}; test on a data set that '
            'mmspd weights list shows.'
        )
    check_result(result, weights.recipe, scores[0].protocol)
    digest, files = result.provenance['checkpoint']['sha256'], weights.files
    if len(files) == 1 and files[0].sha256 not in (None, digest):
        raise UserError(
            f'The checkpoint has the SHA-256 {digest}, but {name} has {files[0].sha256}; get the '
            f'weights with mmspd weights get {name}.'
        )
    measured, published = result.metrics['PSNR'], scores[0].psnr
    if abs(measured - published) > TOLERANCE + 1e-9:
        raise UserError(
            f'{name} has {measured:.4f} dB on {dataset}, but {published} dB are published, which '
            f'differs by more than {TOLERANCE} dB; report this with the result.'
        )
    return scores[0]


def read_all(folder: Path, published: bool) -> Contributions:
    """Read and check all contributed results in a folder and below it.

    Args:
        folder: Folder of files ``NAME.json``. ``NAME`` is the name of the weights or of the recipe.
        published: Whether the files are results of published weights; otherwise, of trained
            recipes.

    Returns:
        The results.

    Raises:
        UserError: A result is refused, or there are two results of the same name and test set.
    """
    contributions: Contributions = {}
    for path in sorted(folder.rglob('*.json')):
        result = Result.load(path)
        try:
            if published:
                key = path.stem, check_published(result, path.stem).dataset
            else:
                key = path.stem, check_result(result, path.stem)
        except UserError as error:
            raise UserError(f"'{path}' is refused: {error}") from error
        if key in contributions:
            raise UserError(
                f"'{path}' and '{contributions[key][0]}' are both results of {path.stem} on "
                f'{key[1]}; keep one of them.'
            )
        contributions[key] = path, result
    return contributions
