"""Say which files are skipped, in one line of bounded length."""

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

__all__ = ['kind_of', 'one_line', 'skipped_line']

_RAW = (
    *('.3fr', '.arw', '.cr2', '.cr3', '.crw', '.dcr', '.dng', '.erf', '.fff', '.gpr', '.iiq'),
    *('.kdc', '.mef', '.mos', '.mrw', '.nef', '.nrw', '.orf', '.pef', '.raf', '.raw', '.rw2'),
    *('.rwl', '.sr2', '.srf', '.srw', '.x3f'),
)
_KINDS: Dict[str, str] = {
    **dict.fromkeys(_RAW, 'raw photo'),
    **dict.fromkeys(('.j2c', '.j2k', '.jp2', '.jpf', '.jpm', '.jpx'), 'JPEG 2000'),
    '.jxl': 'JPEG XL',
    **dict.fromkeys(('.avifs', '.heics', '.heifs'), 'image sequence'),
    **dict.fromkeys(
        ('.apng', '.exr', '.hdr', '.ico', '.psd', '.svg', '.tga'), 'other image format'
    ),
    **dict.fromkeys(('.insv', '.lrv', '.mod', '.mxf', '.ogv', '.qt', '.tod'), 'other video format'),
}
_SHOWN_NAMES, _SHOWN_LENGTH = 8, 60


def kind_of(path: Path) -> str:
    """Return the kind of a photo or video that mmspd cannot read; ``''`` for other files.

    Args:
        path: The file. Only its suffix is used.

    Returns:
        The kind.

    Examples:
        >>> from pathlib import Path
        >>> from mmspd.utils.skipped import kind_of
        >>> kind_of(Path('IMG_1.CR2')), kind_of(Path('notes.txt'))
        ('raw photo', '')
    """
    return _KINDS.get(path.suffix.lower(), '')


def skipped_line(skipped: Mapping[Path, str], wanted: Sequence[str]) -> str:
    """Return the line that says which files are skipped.

    Args:
        skipped: A dict from each skipped file or folder to the reason; ``''`` if the name says it.
            At least one.
        wanted: Kinds of the files that are used.

    Returns:
        The line. It names up to 8 files, first those with a reason.

    Examples:
        >>> from pathlib import Path
        >>> from mmspd.utils.skipped import skipped_line
        >>> skipped = {Path('a/notes.txt'): '', Path('a/1.CR2'): 'raw photo'}
        >>> skipped_line(skipped, ['photo', 'video'])
        'Skipped 2 files that are not supported photos or videos: 1.CR2 (raw photo), notes.txt.'
    """
    named = sorted(skipped.items(), key=lambda item: (not item[1], item[0]))
    shown = [
        one_line(path.name, _SHOWN_LENGTH)
        + (f' ({one_line(reason, _SHOWN_LENGTH)})' if reason else '')
        for path, reason in named[:_SHOWN_NAMES]
    ]
    shown += ['...'] if len(named) > _SHOWN_NAMES else []
    if len(named) == 1:
        files = f'file that is no supported {" or ".join(wanted)}'
    else:
        files = f'files that are not supported {" or ".join(f"{kind}s" for kind in wanted)}'
    return f'Skipped {len(named)} {files}: {", ".join(shown)}.'


def one_line(text: str, length: Optional[int] = None) -> str:
    r"""Return a text that is safe to print: one line, valid Unicode, no control characters.

    Args:
        text: The text, such as a file name.
        length: Largest length; the middle of a longer text is replaced by dots. ``None`` for any.

    Returns:
        The text with escape sequences for all other characters.

    Examples:
        >>> from mmspd.utils.skipped import one_line
        >>> one_line('two\nlines')
        'two\\nlines'
        >>> one_line('a' * 20 + '.png', 11)
        'aaaa....png'
    """
    safe = ''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    if length is not None and len(safe) > length:
        half = (length - 3) // 2
        safe = f'{safe[:half]}...{safe[-half:]}'
    return safe
