"""Find the images of each kind, such as blurry and sharp, by folder and name template."""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

from mmspd.datasets.image_io import IMAGE_SUFFIXES, list_images
from mmspd.errors import UserError

__all__ = ['ANY_NAME', 'ImagePlace', 'check_template', 'sort_images', 'unpaired_images']

#: Template that fits every image. The key is the path without suffix.
ANY_NAME = '{}'


class ImagePlace(NamedTuple):
    """The place of the images of one kind.

    A template is the end of a path; ``{}`` in it stands for the name of the pair. The key of an
    image is its folder and this name. For example, ``'{}_blur'`` gives ``trip/cat_blur.png`` the
    key ``trip/cat``, and ``'blur/{}'`` gives ``trip/blur/cat.png`` the same key. A template without
    the suffix of an image format fits all formats; ``'{}.jpg'`` fits only JPEG files.

    Attributes:
        folder: Existing folder, searched at any depth.
        template: Name template.
    """

    folder: Path
    template: str = ANY_NAME

    @property
    def precision(self) -> Tuple[int, int]:
        """Depth of the folder and length of the template: the larger, the fewer images fit."""
        return len(self.folder.resolve().parts), len(self.template)

    def images(self) -> Dict[str, str]:
        """Return a dict from the path of each image below the folder to its key.

        The key of an image that does not fit the template is an empty string.
        """
        stem, suffix = self.template, r'\.[^./]+'
        if stem.lower().endswith(IMAGE_SUFFIXES):
            stem, suffix = stem[: stem.rindex('.')], re.escape(stem[stem.rindex('.') :])
        before, after = map(re.escape, stem.split(ANY_NAME))
        pattern = re.compile(f'(.+/)?{before}([^/]+){after}(?i:{suffix})')
        keys = {}
        for path in list_images(self.folder):
            name = path.relative_to(self.folder).as_posix()
            match = pattern.fullmatch(name)
            keys[name] = f'{match[1] or ""}{match[2]}' if match else ''
        return keys


def check_template(argument: str, template: str) -> str:
    """Check a name template, and return it.

    Args:
        argument: Name of the argument, for the message.
        template: The template.

    Returns:
        ``template``, unchanged.

    Raises:
        UserError: The template does not contain ``{}`` exactly once.
    """
    if str(template).count(ANY_NAME) != 1:
        raise UserError(
            f"{argument}='{template}' does not contain {{}} exactly once; write {{}} for the part "
            "that the names of a pair share, as in '{}_blur'."
        )
    return template


def sort_images(places: Sequence[ImagePlace]) -> Tuple[List[Dict[str, Path]], List[Path]]:
    """Find the images of several kinds, which may be in the same folder.

    An image that fits several places belongs to the place with the deepest folder and, in the same
    folder, with the longest template.

    Args:
        places: The place of each kind.

    Returns:
        For each kind, a dict from key to path, sorted by key; and the images that fit no template.

    Raises:
        UserError: Two images of a kind have the same key, or an image fits two places equally well.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mmspd.datasets.pair_names import ImagePlace, sort_images
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ('cat.png', 'cat_sharp.png', 'trip/dog.jpg', 'trip/dog_sharp.png'):
        ...         Path(root, name).parent.mkdir(exist_ok=True)
        ...         Path(root, name).touch()
        ...     places = [ImagePlace(Path(root)), ImagePlace(Path(root), '{}_sharp')]
        ...     (blurry, sharp), unused = sort_images(places)
        ...     [(key, blurry[key].name, sharp[key].name) for key in blurry]
        [('cat', 'cat.png', 'cat_sharp.png'), ('trip/dog', 'dog.jpg', 'dog_sharp.png')]
    """
    kinds: List[Dict[str, Path]] = [{} for _ in places]
    owners: Dict[Path, Tuple[int, str]] = {}
    unused: Dict[Path, Path] = {}
    # the most precise place comes first, so that it gets the images that fit several places
    order = sorted(range(len(places)), key=lambda index: places[index].precision, reverse=True)
    for index in order:
        place = places[index]
        for name, key in place.images().items():
            path, identity = place.folder / name, place.folder.resolve() / name
            if not key:
                unused.setdefault(identity, path)
            elif identity not in owners:
                owners[identity] = index, key
                _add(kinds[index], key, path)
            elif places[owners[identity][0]].precision == place.precision:
                raise UserError(
                    f"'{path}' fits two templates, '{places[owners[identity][0]].template}' and "
                    f"'{place.template}'; set other folders or templates."
                )
    left = [path for identity, path in unused.items() if identity not in owners]
    return [dict(sorted(kind.items())) for kind in kinds], left


def _add(images: Dict[str, Path], key: str, path: Path) -> None:
    """Add an image to a dict from key to path."""
    if key in images:
        raise UserError(
            f"'{images[key]}' and '{path}' differ only in their suffix; rename one of them, or set "
            f"a template with a suffix, such as '{{}}{path.suffix}'."
        )
    images[key] = path


def unpaired_images(kinds: Sequence[Dict[str, Path]]) -> List[Path]:
    """Return the images whose key is missing in another kind.

    Args:
        kinds: For each kind, a dict from key to path.

    Returns:
        The images, kind by kind.
    """
    shared = set.intersection(*map(set, kinds))
    return [path for kind in kinds for key, path in kind.items() if key not in shared]
