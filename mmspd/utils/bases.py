"""Find the data sets and protocols in ``configs/_base_`` by their names."""

from pathlib import Path
from typing import Any, Dict, List, Tuple

from mmspd.errors import UsageError
from mmspd.utils.launch import check_file, read_config
from mmspd.utils.package_files import package_file

__all__ = ['find_base', 'read_protocols']


def find_base(kind: str, name: str) -> Path:
    """Find a file of ``configs/_base_/KIND`` by its name or path.

    Args:
        kind: ``'datasets'`` or ``'protocols'``.
        name: Name of a file in that folder, or the path of a file.

    Returns:
        The path of the file.

    Raises:
        UsageError: The file does not exist.
    """
    if name.endswith('.py'):
        return Path(check_file(name, f'{kind} file'))
    path = package_file('configs', '_base_', kind) / f'{name.replace("-", "_")}.py'
    if not path.is_file():
        known = ', '.join(sorted(file.stem for file in path.parent.glob('*.py')))
        raise UsageError(f'There is no {name!r} among the {kind}; choose from {known}.')
    return path


def read_protocols(names: List[str]) -> Tuple[str, List[Dict[str, Any]]]:
    """Combine the metrics of protocols.

    Args:
        names: Names or paths of protocol files.

    Returns:
        The name of the combination, and the configs of the metrics.

    Raises:
        UsageError: A file does not exist or has no metrics.
    """
    metrics: List[Dict[str, Any]] = []
    paths = sorted({find_base('protocols', name) for name in names}, key=lambda path: path.stem)
    for path in paths:
        variable = f'{path.stem.replace("-", "_")}_metrics'
        protocol = read_config(str(path), {})
        if variable not in protocol:
            raise UsageError(f'{path} is not a protocol; define {variable} = [...] in it.')
        # if several protocols have a metric, it is measured once
        metrics += [metric for metric in protocol[variable] if metric not in metrics]
    return '+'.join(path.stem.replace('_', '-') for path in paths), metrics
