"""The exceptions for errors that the user can fix."""

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

__all__ = ['DiskFullError', 'UsageError', 'UserError', 'file_errors']


class UserError(ValueError):
    """An error that the user can fix: a bad config, file or folder.

    The message is one sentence that names the problem and the fix. The command-line tools print it
    without a traceback. In Python code it is a ``ValueError``.
    """


class UsageError(UserError):
    """A wrong argument or config.

    It is raised before the work starts. The exit code of the command-line tools is 2, as for the
    errors of :mod:`argparse`. For all other user errors, it is 1.
    """


class DiskFullError(UserError):
    """A full disk, which stops a command that otherwise continues with the next file."""


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn any error about a file into a user error, so that the work on other files continues.

    Decoders and encoders raise many kinds of errors for damaged or unusual files.

    Args:
        path: The file.

    Yields:
        Nothing.

    Raises:
        UserError: An error occurred.

    Examples:
        >>> from pathlib import Path
        >>> from mmspd.errors import file_errors
        >>> with file_errors(Path('a.png')):
        ...     raise OverflowError('too large')
        Traceback (most recent call last):
        mmspd.errors.UserError: 'a.png' cannot be used (OverflowError: too large); copy it again ...
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = f'{type(error).__name__}: {error}'.removesuffix(': ')
        reason = getattr(error, 'strerror', None) or text
        raise UserError(
            f"'{path}' cannot be used ({reason}); copy it again or convert it."
        ) from error
