import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mmspd.errors import UserError
from mmspd.utils.parallel import clean_pool, map_in_processes

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
        'from mmspd.utils.parallel import clean_pool, map_in_processes\n'
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


@pytest.mark.slow
def test_a_pool_ends_if_its_worker_is_killed_while_jobs_wait():
    """The jobs are larger than the pipe to the worker, which is busy and does not read them."""
    pool = clean_pool(1)
    started = pool.submit(os.getpid).result()
    busy = pool.submit(time.sleep, 60)
    waiting = [pool.submit(len, bytes(2_000_000)) for _ in range(2)]
    feeder = pool._call_queue._thread
    time.sleep(0.5)
    assert feeder.is_alive()
    os.kill(started, signal.SIGKILL)
    for job in (busy, *waiting):
        with pytest.raises(BrokenProcessPool):
            job.result(20)
    end = threading.Thread(target=pool.shutdown, daemon=True)
    end.start()
    end.join(20)
    assert not end.is_alive()
