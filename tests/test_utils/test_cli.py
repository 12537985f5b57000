import errno
import os
import re
import signal
import time

import pytest
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

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


WORKER_FILE = """Caught FileNotFoundError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "worker.py", line 349, in _worker_loop
FileNotFoundError: [Errno 2] No such file or directory: 'a/b.npy'
"""


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (PermissionError(13, 'Permission denied', 'a.json'), "'a.json' (Permission denied); check"),
        (OSError(30, 'Read-only file system', 'a'), "'a' (Read-only file system); check that"),
        (FileNotFoundError(WORKER_FILE), "'a/b.npy' (No such file or directory); check that"),
        (OSError(122, 'Disk quota exceeded'), 'No space is left on the disk; free some space'),
        (
            RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '),
            'has ended (DataLoader worker (pid 7) is killed by signal: Killed); check that the mem',
        ),
        (
            RuntimeError('DataLoader worker (pid(s) 7) exited unexpectedly'),
            'has ended (DataLoader worker (pid(s) 7) exited unexpectedly); check that the memory',
        ),
    ],
)
def test_failures_of_the_system_are_sentences(capsys, error, sentence):
    code, output = outcome(capsys, error)
    assert code == 1
    assert output.startswith('error: ')
    assert sentence in output
    assert output.count('\n') == 1


@pytest.mark.parametrize(
    ('number', 'code', 'sentence'),
    [
        (signal.SIGINT, 130, 'Interrupted by the user.'),
        (signal.SIGTERM, 143, 'Ended by the signal SIGTERM.'),
    ],
)
def test_a_signal_ends_the_command_even_if_a_library_hides_it(capsys, number, code, sentence):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def main(argv):
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            raise SyntaxError('Failed to format the config file') from None

    with pytest.raises(SystemExit) as ended:
        run_main(main, [])
    assert ended.value.code == code
    assert capsys.readouterr().err == f'\nerror: {sentence}\n'
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_an_ignored_signal_stays_ignored(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            run_main(lambda argv: os.kill(os.getpid(), signal.SIGINT), [])
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 0


def test_a_failed_writer_of_tensorboard_prints_no_traceback(capsys, tmp_path):
    def main(argv):
        writer = EventFileWriter(str(tmp_path))
        writer.flush()
        writer._async_writer._worker._record_writer = Full()
        for _ in range(100):
            writer.add_event(event_pb2.Event())
            time.sleep(0.01)

    class Full:
        def write(self, data):
            raise OSError(28, 'No space left on device')

    with pytest.raises(SystemExit) as ended:
        run_main(main, [])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith('error: No space is left on the disk; ')
