"""The exception that mmspd raises for a mistake its user can mend."""

__all__ = ['UserError']


class UserError(ValueError):
    """A bad config, file or folder, described in one sentence that names it and the fix.

    The command-line tools print it without a traceback; library users see an ordinary
    ``ValueError``.
    """
