import errno
import re

import pytest

from mmspd.errors import UserError
from mmspd.registry import MODELS, OPTIM_WRAPPERS
from mmspd.utils.cli import run_main

WORKER = """Caught UserError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 349, in _worker_loop
    data = fetcher.fetch(index)
mmspd.errors.UserError: the first line
and the second
"""


def outcome(capsys, error=None, code=None):
    """Run a main that raises an error or returns a code; return the exit code and stderr."""

    def main(argv):
        assert argv == ['--flag']
        if error is not None:
            raise error
        return code

    with pytest.raises(SystemExit) as ended:
        run_main(main, ['--flag'])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(('code', 'expected'), [(None, 0), (0, 0), (3, 3)])
def test_exit_code_of_main_is_used(capsys, code, expected):
    assert outcome(capsys, code=code) == (expected, '')


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        ('It is wrong.', 'It is wrong.'),
        ('It is\n  wrong.', 'It is wrong.'),
        (WORKER, 'the first line and the second'),
        ('class `A` in a/b.py: class `B` in b.py: It is wrong.', 'It is wrong.'),
    ],
)
def test_user_error_is_printed_as_one_sentence(capsys, message, sentence):
    assert outcome(capsys, UserError(message)) == (1, f'error: {sentence}\n')


@pytest.mark.parametrize(
    ('registry', 'name', 'meant'),
    [
        (MODELS, 'mmspd.MIMOUnet', 'mmspd.MIMOUNet'),
        (MODELS, 'mmsdp.UNet', 'mmspd.UNet'),
        (MODELS, 'NAFNett', 'NAFNet'),
        (OPTIM_WRAPPERS, 'mmspd.OptimWraper', 'mmspd.OptimWrapper'),
    ],
)
def test_similar_names_are_printed_for_an_unknown_name(capsys, registry, name, meant):
    with pytest.raises(KeyError) as unknown:
        registry.build(dict(type=name))
    code, output = outcome(capsys, unknown.value)
    assert code == 2
    assert re.match(f"error: There is no [\\w ]+ named '{name}'; check its spelling", output)
    assert meant in output.partition('similar names:')[2]


def test_full_disk_names_the_file(capsys):
    code, output = outcome(capsys, OSError(errno.ENOSPC, 'No space left on device', '/a/log'))
    assert (code, output) == (
        1,
        'error: No space is left on the disk for /a/log; free some space and continue with '
        '--resume.\n',
    )


def test_interruption_is_a_sentence(capsys):
    code, output = outcome(capsys, KeyboardInterrupt())
    assert (code, output.strip()) == (130, 'error: Interrupted by the user.')


@pytest.mark.parametrize(
    'error', [KeyError('x'), ValueError('x'), OSError(errno.EIO, 'x'), KeyError(), TypeError('x')]
)
def test_bugs_keep_their_traceback(error):
    def main(argv):
        raise error

    with pytest.raises(type(error)):
        run_main(main, [])


def test_misspelled_key_is_printed_with_its_class(capsys):
    with pytest.raises(TypeError) as misspelled:
        MODELS.build(dict(type='mmspd.UNet', bse=4))
    code, output = outcome(capsys, misspelled.value)
    assert code == 2
    assert output == (
        "error: UNet has no argument 'bse' (similar names: base); check its spelling in the config."
        '\n'
    )
