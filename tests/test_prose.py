"""Docstrings, messages and Markdown keep the form that CONTRIBUTING.md describes."""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = [
    path.relative_to(REPOSITORY)
    for folder in ('mmspd', 'tools', 'projects')
    for path in sorted((REPOSITORY / folder).rglob('*.py'))
    if not {'tests', 'configs'} & set(path.relative_to(REPOSITORY).parts)
]
PAGES = [
    path.relative_to(REPOSITORY)
    for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md', 'projects/**/*.md')
    for path in sorted(REPOSITORY.glob(pattern))
    if '_build' not in path.parts
]
LONGEST_LINE = 100
# the calls that show a sentence to a user, apart from `raise`
SPEAKERS = {'UserError', 'ArgumentTypeError', 'warn', 'warning', 'error', 'print_log', 'info'}
SECTIONS = ('Args', 'Attributes', 'Returns', 'Yields', 'Raises')


def text_of(node):
    """The literal text of an expression, ``{}`` for a value; None where it is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join('{}' if isinstance(p, ast.FormattedValue) else p.value for p in node.values)
    return None


def messages_of(tree):
    """The messages of a module with their lines."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = getattr(call.func, 'attr', getattr(call.func, 'id', ''))
        if isinstance(node, ast.Raise) or name in SPEAKERS:
            text = text_of(call.args[0])
            if text is not None and ' ' in text:
                yield call.lineno, text


def faults_of_message(text):
    if '\n' in text.rstrip('\n'):
        return 'more than one line'
    if not text.rstrip('\n').endswith(('.', '{}')):
        return 'no full stop'
    if re.match('[a-z]+ ', text):
        return 'no capital letter'
    return ''


def entries_of(docstring):
    """The entries of a docstring's sections: section, name or None, description."""
    parts = re.split(r'^(\w+):\n', inspect.cleandoc(docstring), flags=re.MULTILINE)
    for section, body in zip(parts[1::2], parts[2::2]):
        if section not in SECTIONS:
            continue
        body = re.split(r'\n(?=\S)', body)[0]
        if section in ('Returns', 'Yields'):
            yield section, None, ' '.join(body.split())
            continue
        for entry in re.split(r'\n(?=\S)', textwrap.dedent(body).strip()):
            name, colon, description = entry.partition(':')
            yield section, name if colon else None, ' '.join(description.split())


def faults_of_entry(section, name, description):
    if section not in ('Returns', 'Yields') and name is None:
        return 'no "name: description"'
    if re.match('[a-z]', description):
        return 'no capital letter'
    if name is None and re.match(r'[^`:.]+: ', description):
        return 'Sphinx reads the words before the colon as a type'
    if not description.endswith(('.', '.)', '``', ':')):
        return 'no full stop'
    return ''


def test_the_checks_find_faults():
    message = "SSIM has no argument 'mod'; check its spelling in the config."
    assert not faults_of_message(message)
    for bad in ('a small letter.', 'No full stop', 'Two\nlines.'):
        assert faults_of_message(bad)
    docstring = """Restore.

    Args:
        good: An image.
        small: an image.
        open: An image

    Returns:
        A thing: of some kind.
    """
    faults = [faults_of_entry(*entry) for entry in entries_of(docstring)]
    assert faults[:3] == ['', 'no capital letter', 'no full stop']
    assert 'colon' in faults[3]


@pytest.mark.parametrize('path', SOURCES, ids=str)
def test_messages_have_one_form(path):
    tree = ast.parse((REPOSITORY / path).read_text())
    faults = [
        f'{path}:{line}: {fault}: {text}'
        for line, text in messages_of(tree)
        if (fault := faults_of_message(text))
    ]
    assert not faults, '\n'.join(faults)


@pytest.mark.parametrize('path', SOURCES, ids=str)
def test_docstrings_have_one_form(path):
    tree = ast.parse((REPOSITORY / path).read_text())
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)
    faults = [
        f'{path}:{getattr(node, "lineno", 1)}: {fault}: {section}: {name}: {description}'
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        for section, name, description in entries_of(ast.get_docstring(node) or '')
        if (fault := faults_of_entry(section, name, description))
    ]
    assert not faults, '\n'.join(faults)


@pytest.mark.parametrize('page', PAGES, ids=str)
def test_lines_of_pages_are_short(page):
    in_code = False
    faults = []
    for number, line in enumerate((REPOSITORY / page).read_text().splitlines(), 1):
        in_code ^= line.startswith('```')
        is_prose = not in_code and not line.lstrip().startswith(('|', '![', '[')) and ' ' in line
        if is_prose and len(line) > LONGEST_LINE:
            faults.append(f'{page}:{number}: {len(line)} characters')
    assert not faults, '\n'.join(faults)
