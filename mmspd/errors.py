"""The exception for errors that the user can fix."""

__all__ = ['UserError']


class UserError(ValueError):
    """An error that the user can fix: a bad config, file or folder.

    The message is one sentence that names the problem and the fix. The command-line tools print it
    without a traceback. In Python code it is a ``ValueError``.
    """
