import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmspd.errors import UserError
from mmspd.utils.parallel import map_in_processes

ROOT = Path(__file__).resolve().parents[2]


def slow_first(number):
    time.sleep(0.1 * (number == 0))
    return number, os.getpid()


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_function_that_cannot_be_pickled_is_refused():
    with pytest.raises((pickle.PicklingError, AttributeError), match="Can't (pickle|get local)"):
        list(map_in_processes(lambda job: job, [1], 1))


@pytest.mark.parametrize('workers', [0, 2])
def test_results_keep_the_order_of_the_jobs(workers):
    results = list(map_in_processes(slow_first, range(5), workers))
    assert [number for number, _ in results] == list(range(5))
    assert ({pid for _, pid in results} == {os.getpid()}) == (workers == 0)


def test_a_killed_worker_is_a_user_error():
    with pytest.raises(UserError, match='killed, probably for lack of memory; use fewer'):
        list(map_in_processes(die, [1], 1))


def interrupt(number):
    os.kill(os.getpid(), signal.SIGINT)
    return number


def test_workers_ignore_interrupts():
    assert list(map_in_processes(interrupt, [1], 1)) == [1]


@pytest.mark.slow
def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / 'parent.py'
    script.write_text(
        'import os, time\n'
        'from mmspd.utils.parallel import map_in_processes\n'
        'def job(number):\n'
        f"    open(r'{tmp_path}/' + str(os.getpid()) + '.pid', 'w').close()\n"
        '    time.sleep(number * 60)\n'
        "if __name__ == '__main__':\n"
        '    list(map_in_processes(job, [1, 1], 2))\n'
    )
    parent = subprocess.Popen([sys.executable, script], env={**os.environ, 'PYTHONPATH': str(ROOT)})
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob('*.pid'))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(path.stem) for path in tmp_path.glob('*.pid')]
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False
