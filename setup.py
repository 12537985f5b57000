"""Installation of mmspd: ``pip install -e .``; see the README for the complete environment."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name):
    """Read a list of requirements without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version():
    """Read the version without importing the package, which imports PyTorch."""
    values = {}
    exec((ROOT / 'mmspd' / 'version.py').read_text(encoding='utf-8'), values)
    return values['__version__']


EXTRAS = {name: requirements(name) for name in ('mmagic', 'optional', 'tests', 'docs')}

setup(
    name='mmspd',
    version=version(),
    description='Severe blur removal with a semantic prior, for MMEngine and MMagic',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.9,<3.13',
    packages=find_packages(include=['mmspd', 'mmspd.*']),
    package_data={'mmspd': ['py.typed'], 'mmspd.apis': ['*.html'], 'mmspd.evaluation': ['*.csv']},
    install_requires=requirements('runtime'),
    extras_require={**EXTRAS, 'all': sorted({item for items in EXTRAS.values() for item in items})},
)
