"""Sphinx configuration: ``sphinx-build -W docs docs/_build`` builds the manual."""

import os
import re

os.environ['CUDA_VISIBLE_DEVICES'] = ''

from mmspd.version import __version__

project = 'mmspd'
author = 'The mmspd authors'
release = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinxcontrib.mermaid',
]
exclude_patterns = ['_build']

html_theme = 'furo'
html_title = f'mmspd {release}'

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3
myst_fence_as_directive = ['mermaid']

apidoc_modules = [
    {
        'path': '../mmspd',
        'destination': 'api',
        'separate_modules': True,
        'module_first': True,
        'automodule_options': {'members', 'show-inheritance'},
    },
]
# a package documents its own members; the names that it imports are documented at their home
autodoc_default_options = {'ignore-module-all': True}
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_member_order = 'bysource'
# every reference to mmspd's own objects must resolve
nitpicky = True
nitpick_ignore_regex = [('py:.*', r'(?!mmspd\b).*'), ('py:class', r'.*\b_Stage|.*\.(Job|Result)')]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def convert_links(app, docname, source):
    """Convert links that are for readers of the repository.

    Links to the package's source become links into the API reference. Links to pages outside of
    the manual become downloads, as MyST does for other files.
    """
    source[0] = re.sub(
        r'\[`([\w.]+)`\]\(\.\./(mmspd/[\w/]+?)(?:\.py|/)\)',
        lambda link: '{py:obj}`' + f'{link[1]} <{_full_name(link[1], link[2])}>' + '`',
        source[0],
    )
    pattern = r'\[([^\]]+)\]\((\.\./[^)#]+\.md)(?:#[^)]*)?\)'
    source[0] = re.sub(pattern, r'{download}`\1 <\2>`', source[0])


def _full_name(name, path):
    """Return the full name of an object from its name in a page and the path of its module."""
    module = path.replace('/', '.')
    return module if name == module else f'{module}.{name}'


def skip_tuple_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, whose classes describe them."""
    return True if (obj.__doc__ or '').startswith('Alias for field number') else None


def setup(app):
    """Register the functions above with Sphinx."""
    app.connect('source-read', convert_links)
    app.connect('autodoc-skip-member', skip_tuple_fields)
