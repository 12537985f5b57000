import errno

import pytest

from mmspd.errors import UserError
from mmspd.registry import MODELS
from mmspd.utils.cli import run_main

WORKER = """Caught UserError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 349, in _worker_loop
    data = fetcher.fetch(index)
mmspd.errors.UserError: the first line
and the second
"""


def outcome(capsys, error=None, code=None):
    """Run a main that raises an error or returns a code."""

    def main(argv):
        assert argv == ['--flag']
        if error is not None:
            raise error
        return code

    with pytest.raises(SystemExit) as ended:
        run_main(main, ['--flag'])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(('code', 'expected'), [(None, 0), (0, 0), (3, 3)])
def test_exit_code_is_that_of_main(capsys, code, expected):
    assert outcome(capsys, code=code) == (expected, '')


@pytest.mark.parametrize(
    ('message', 'sentence'),
    [
        ('it is wrong', 'it is wrong'),
        ('it is\n  wrong', 'it is wrong'),
        (WORKER, 'the first line and the second'),
        ('class `A` in a/b.py: class `B` in b.py: it is wrong', 'it is wrong'),
    ],
)
def test_user_error_ends_in_its_sentence(capsys, message, sentence):
    assert outcome(capsys, UserError(message)) == (1, f'error: {sentence}\n')


@pytest.mark.parametrize(
    ('name', 'meant'),
    [('mmspd.MIMOUnet', 'mmspd.MIMOUNet'), ('mmsdp.UNet', 'mmspd.UNet'), ('NAFNett', 'NAFNet')],
)
def test_unknown_name_is_answered_with_close_ones(capsys, name, meant):
    with pytest.raises(KeyError) as unknown:
        MODELS.build(dict(type=name))
    code, said = outcome(capsys, unknown.value)
    assert code == 1
    assert said.startswith(f"error: the config names the model '{name}'")
    assert meant in said.partition('did you mean')[2]


def test_full_disk_names_the_file(capsys):
    code, said = outcome(capsys, OSError(errno.ENOSPC, 'No space left on device', '/a/log'))
    assert (code, said) == (
        1,
        'error: no space is left on the disk for /a/log: free some, then continue with --resume\n',
    )


def test_interruption_is_a_sentence(capsys):
    code, said = outcome(capsys, KeyboardInterrupt())
    assert (code, said.strip()) == (130, 'error: interrupted by the user')


@pytest.mark.parametrize(
    'error', [KeyError('x'), ValueError('x'), OSError(errno.EIO, 'x'), KeyError()]
)
def test_our_own_mistakes_keep_their_traceback(error):
    def main(argv):
        raise error

    with pytest.raises(type(error)):
        run_main(main, [])


@pytest.mark.parametrize(
    ('build', 'owner', 'key'),
    [
        (lambda: MODELS.build(dict(type='mmspd.UNet', bse=4)), 'UNet', 'bse'),
    ],
)
def test_misspelt_key_names_its_owner(capsys, build, owner, key):
    with pytest.raises(TypeError) as misspelt:
        build()
    code, said = outcome(capsys, misspelt.value)
    assert code == 1
    assert said == (
        f'error: the config gives {owner} the key {key!r}, which it does not know: correct it\n'
    )


def test_other_type_errors_keep_their_traceback():
    def main(argv):
        return 1 + 'x'

    with pytest.raises(TypeError):
        run_main(main, [])
