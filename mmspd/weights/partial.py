"""Keep the received part of a download, so that a later call continues after it."""

import json
import re
from pathlib import Path
from typing import Any, Dict

from mmspd.utils.files import write_text
from mmspd.utils.json_text import parse_json

__all__ = ['PartialFile', 'beside']


def beside(file: Path, kind: str) -> Path:
    """Return the path of a file about a download.

    Args:
        file: The download.
        kind: Kind of the file, such as ``'lock'``.

    Returns:
        A path in the hidden folder ``.mmspd`` beside the download.
    """
    return file.parent / '.mmspd' / f'{file.name}.{kind}'


class PartialFile:
    """The received part of a file on a server.

    It is continued only if the server states the version of the file, in ``ETag`` or
    ``Last-Modified``, and only with the rest of this version.

    Args:
        file: The complete file that the download will become.
        url: Its address.
    """

    def __init__(self, file: Path, url: str) -> None:
        self.path = beside(file, 'part')
        self._version_file = beside(file, 'json')
        self._url = url

    @property
    def size(self) -> int:
        """Number of bytes that a request can leave out."""
        return self.path.stat().st_size if self._version() else 0

    def request_headers(self) -> Dict[str, str]:
        """Return the headers of a request for the rest of the file.

        Returns:
            A dict, which is empty if the whole file is needed.
        """
        if not self.size:
            return {}
        # the server sends the whole file if its version is another one
        return {'Range': f'bytes={self.size}-', 'If-Range': self._version()}

    def receive_into(self, response: Any) -> str:
        """Prepare the part for the content of a response.

        Args:
            response: The response to a request with :meth:`request_headers`.

        Returns:
            The mode in which :attr:`path` must be opened: ``'ab'`` if the response continues the
            part, else ``'wb'``.
        """
        start = re.match(r'bytes (\d+)-', response.headers.get('Content-Range', ''))
        if response.status == 206 and start and int(start[1]) == self.size:
            return 'ab'
        self.discard()
        version = response.headers.get('ETag', 'W/')
        if version.startswith('W/'):  # a weak tag does not promise equal bytes
            version = response.headers.get('Last-Modified')
        if version:
            write_text(self._version_file, json.dumps(dict(url=self._url, version=version)))
        return 'wb'

    def discard(self) -> None:
        """Delete the part."""
        for file in (self._version_file, self.path):
            file.unlink(missing_ok=True)

    def _version(self) -> str:
        """Return the version of which this is a part; an empty string if it is not known."""
        if not self.path.is_file() or not self._version_file.is_file():
            return ''
        try:
            stated = parse_json(self._version_file.read_text('utf-8'))
            return str(stated['version']) if stated['url'] == self._url else ''
        except (ValueError, KeyError, TypeError):  # the file is damaged
            return ''
