"""The result of a test run as a file: what was measured, on which images, by which protocol."""

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Union

from mmspd.errors import UserError
from mmspd.evaluation.metrics.base import MetricInfo
from mmspd.utils.files import write_text

__all__ = ['CSV_NAME', 'RESULT_NAME', 'Result']

RESULT_NAME = 'result.json'
CSV_NAME = 'per_image.csv'

_SCHEMA = 2


@dataclass
class Result:
    """What a test run measured.

    Args:
        provenance: What the numbers depend on: ``protocol`` (a name), ``dataset`` (a dict), the
            ``checkpoint`` and its hash, self-ensemble, rounding, versions of libraries, ...
        metrics: Means over the images by name.
        metric_info: How to print and compare the values, by name.
        images: A dict per image of its ``key``, values by the names in ``metrics``, and, where it
            was measured, its severity. A value that is not finite is ``None`` in the file.
        severity: Groups of images by severity; see ``mmspd.evaluation.severity_report``.
    """

    provenance: Dict[str, Any]
    metrics: Dict[str, float]
    metric_info: Dict[str, MetricInfo]
    images: List[Dict[str, Any]]
    severity: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)

    def save(self, folder: Union[str, Path]) -> None:
        """Write ``result.json`` and ``per_image.csv`` into a folder, which is made.

        Raises:
            UserError: They cannot be written.
        """
        folder = Path(folder)
        content = _without_infinities({'schema': _SCHEMA, **asdict(self)})
        write_text(folder / RESULT_NAME, json.dumps(content, indent=1, allow_nan=False) + '\n')
        table = io.StringIO()
        names = list(dict.fromkeys(name for image in self.images for name in image))
        writer = csv.DictWriter(table, names, lineterminator='\n')
        writer.writeheader()
        writer.writerows(self.images)
        write_text(folder / CSV_NAME, table.getvalue())

    @classmethod
    def load(cls, path: Union[str, Path]) -> 'Result':
        """Read a ``result.json``, or that of a folder.

        Raises:
            UserError: There is none, or it is no result of ``tools/test.py``.
        """
        path = Path(path)
        path = path / RESULT_NAME if path.is_dir() else path
        fix = 'give a result.json of tools/test.py, or the folder that holds it'
        try:
            content = json.loads(path.read_text('utf-8'))
        except OSError as error:
            raise UserError(f"cannot read the result '{path}' ({error.strerror}): {fix}") from error
        except ValueError as error:
            raise UserError(f"'{path}' is no JSON file: {fix}") from error
        if not isinstance(content, dict) or content.pop('schema', None) != _SCHEMA:
            raise UserError(f"'{path}' is no result of this version of mmspd: test again")
        info = {name: MetricInfo(**each) for name, each in content.pop('metric_info').items()}
        return cls(metric_info=info, **content)


def _without_infinities(value: Any) -> Any:
    """Replace numbers that JSON cannot say by ``None``."""
    if isinstance(value, dict):
        return {key: _without_infinities(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinities(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
