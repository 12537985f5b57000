"""Refuse folders whose checkpoints a run would replace."""

from pathlib import Path
from typing import Union

from mmspd.engine.best_checkpoint import best_in
from mmspd.engine.checkpoints import numbered_in
from mmspd.errors import UserError

__all__ = ['check_start', 'check_unused']

#: Names of checkpoints in MMEngine's runs.
_DEFAULT_NAMES = ('epoch_{}.pth', 'iter_{}.pth')


def check_unused(folder: Union[str, Path], filename_tmpl: str) -> None:
    """Refuse a folder that holds checkpoints, because a new run would replace them.

    Args:
        folder: The folder. It may be missing.
        filename_tmpl: Names of the checkpoints of the new run.

    Raises:
        UserError: The folder holds checkpoints, also best checkpoints or those of MMEngine's
            default names.
    """
    for template in dict.fromkeys([filename_tmpl, *_DEFAULT_NAMES]):
        there = [entry.path for entry in numbered_in(folder, template)]
        there += best_in(folder, template)
        if there:
            raise UserError(
                f"'{folder}' holds checkpoints of another run, such as {there[-1].name}; continue "
                'that run with --resume, or choose another --work-dir.'
            )


def check_start(folder: Union[str, Path], filename_tmpl: str, start: Union[str, Path]) -> None:
    """Refuse to resume from a file if the run would replace checkpoints of its folder.

    Args:
        folder: The checkpoint folder of the run.
        filename_tmpl: Names of the checkpoints.
        start: The checkpoint that the user named.

    Raises:
        UserError: ``start`` is in another folder, and this folder is used. Or ``start`` is in this
            folder, and later checkpoints are there too.
    """
    start = Path(start)
    numbers = {entry.path.name: entry.number for entry in numbered_in(start.parent, filename_tmpl)}
    if start.parent.resolve() != Path(folder).resolve() or start.name not in numbers:
        check_unused(folder, filename_tmpl)
        return
    newest = numbered_in(folder, filename_tmpl)[-1]
    if newest.number > numbers[start.name]:
        raise UserError(
            f"A run that continues from '{start}' would replace the later {newest.path.name}; "
            'continue with --resume alone, or choose another --work-dir.'
        )
