"""The exception that mmspd raises for a mistake its user can mend."""

__all__ = ['UserError']


class UserError(ValueError):
    """A bad config, file or folder, told in one sentence that names it and the cure.

    The command-line tools print it without a traceback; library users see an ordinary
    ``ValueError``.
    """
