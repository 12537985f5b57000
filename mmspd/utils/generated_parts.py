"""Replace the generated parts of a hand-written page."""

from pathlib import Path
from typing import Dict

from mmspd.errors import UserError

__all__ = ['replace_parts']


def replace_parts(page: Path, parts: Dict[str, str]) -> str:
    r"""Return the text of a page with new generated parts.

    A part is between a line ``<!-- NAME: begin -->`` and a line ``<!-- NAME: end -->``.

    Args:
        page: The page. It is not modified.
        parts: A dict from the name of each part in its markers to the new text between them.

    Returns:
        The text of the page.

    Raises:
        UserError: The page has no markers.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mmspd.utils.generated_parts import replace_parts
        >>> with TemporaryDirectory() as folder:
        ...     page = Path(folder, 'page.md')
        ...     _ = page.write_text('<!-- a: begin -->\nold\n<!-- a: end -->\n')
        ...     print(replace_parts(page, {'a': 'new\n'}), end='')
        <!-- a: begin -->
        new
        <!-- a: end -->
    """
    content = page.read_text()
    for name, text in parts.items():
        begin, end = f'<!-- {name}: begin -->\n', f'<!-- {name}: end -->\n'
        head, _, rest = content.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise UserError(
                f'{page} has no lines {begin.strip()} and {end.strip()}; add both lines.'
            )
        content = head + begin + text + end + tail
    return content
