"""Save and load the result of a test run."""

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
from mmspd.utils.json_text import parse_json

__all__ = ['CSV_NAME', 'RESULT_NAME', 'Result']

RESULT_NAME = 'result.json'
CSV_NAME = 'per_image.csv'

_SCHEMA = 2


@dataclass
class Result:
    """The result of a test run.

    Args:
        provenance: Everything on which the numbers depend: ``protocol`` (a name), ``dataset`` (a
            dict), ``checkpoint`` with its hash, self-ensemble, rounding, versions of libraries, ...
        metrics: A dict from the names of metrics to means over the images.
        metric_info: A dict from the name of each value to its direction, digits and unit.
        images: A list with a dict for each image. The dict has the ``key`` of the image, its value
            of each metric and, if measured, its severity. A value that is not finite is ``None`` in
            the file.
        severity: Groups of images by severity; see :mod:`mmspd.evaluation.severity_report`.

    Examples:
        >>> import tempfile
        >>> from mmspd.evaluation import PSNR, Result
        >>> images = [{'key': 'a', 'PSNR': 30.0}, {'key': 'b', 'PSNR': 32.0}]
        >>> result = Result({'protocol': 'gopro'}, {'PSNR': 31.0}, PSNR.info, images)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.save(folder)
        ...     Result.load(folder) == result
        True
    """

    provenance: Dict[str, Any]
    metrics: Dict[str, float]
    metric_info: Dict[str, MetricInfo]
    images: List[Dict[str, Any]]
    severity: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)

    @property
    def has_model(self) -> bool:
        """Whether a model was tested. Otherwise, finished images were scored."""
        return self.provenance.get('checkpoint', {}) is not None

    def save(self, folder: Union[str, Path]) -> None:
        """Write ``result.json`` and ``per_image.csv`` to a folder.

        Args:
            folder: The folder. It is created if it is missing.

        Raises:
            UserError: The files cannot be written.
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
        """Read a result.

        Args:
            path: A ``result.json`` or its folder.

        Returns:
            The result.

        Raises:
            UserError: The file is missing or is not a result of this version of mmspd.
        """
        path = Path(path)
        path = path / RESULT_NAME if path.is_dir() else path
        fix = 'use a result.json of mmspd test or mmspd score, or its folder'
        try:
            content = parse_json(path.read_text('utf-8'))
        except OSError as error:
            raise UserError(
                f"Cannot read the result '{path}' ({error.strerror}); {fix}."
            ) from error
        except ValueError as error:
            raise UserError(f"'{path}' is not a JSON file; {fix}.") from error
        if not isinstance(content, dict) or content.pop('schema', None) != _SCHEMA:
            raise UserError(
                f"'{path}' is not a result of this version of mmspd; run mmspd test again or "
                'mmspd score.'
            )
        try:
            info = {name: MetricInfo(**each) for name, each in content.pop('metric_info').items()}
            return cls(metric_info=info, **content)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"'{path}' is a damaged result ({error!r}); {fix}.") from error


def _without_infinities(value: Any) -> Any:
    """Replace infinite numbers and NaN, which JSON lacks, with ``None``."""
    if isinstance(value, dict):
        return {key: _without_infinities(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinities(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
