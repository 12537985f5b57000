"""Types of command-line arguments that several commands of the study share."""

import argparse
from pathlib import Path
from typing import Tuple

__all__ = ['named_folder']


def named_folder(text: str) -> Tuple[str, Path]:
    """Parse ``NAME=FOLDER``.

    Args:
        text: The argument.

    Returns:
        The name and the folder.

    Raises:
        ArgumentTypeError: The argument has another form.

    Examples:
        >>> from prior_study.arguments import named_folder
        >>> name, folder = named_folder('kodak24=photos/kodak24')
        >>> name, folder.as_posix()
        ('kodak24', 'photos/kodak24')
    """
    name, _, folder = text.partition('=')
    if not folder or Path(name).name != name:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not NAME=FOLDER; write, for example, kodak24=KODAK24.'
        )
    return name, Path(folder)
