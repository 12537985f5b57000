"""Work on many files in several processes."""

import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Callable, Iterator, Sequence, TypeVar

import cv2

from mmspd.errors import UserError

__all__ = ['WORKER_KILLED', 'clean_pool', 'map_in_processes']

WORKER_KILLED = 'a worker process was killed, most likely for want of memory: use fewer workers'

Job = TypeVar('Job')
Result = TypeVar('Result')


def map_in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """Yield ``function(job)`` for every job, in their order.

    The processes are single-threaded and end with the one that started them, even if it is killed.
    After an error, or when the caller stops early, the jobs that wait are not begun.

    Args:
        function: Of the top level of a module, as are the classes of jobs and results.
        jobs: What it is called with.
        workers: Processes that work at the same time; 0 is this one.

    Raises:
        UserError: A process was killed.
        pickle.PicklingError, AttributeError: The function cannot be sent to a process.
    """
    if workers < 1:
        yield from map(function, jobs)
        return
    pickle.dumps(function)  # the pool would wait forever for what it cannot send
    pool = ProcessPoolExecutor(workers, initializer=_start)
    try:
        yield from pool.map(function, jobs)
    except BrokenProcessPool as error:
        raise UserError(WORKER_KILLED) from error
    finally:
        pool.shutdown(cancel_futures=True)


def clean_pool(workers: int) -> ProcessPoolExecutor:
    """Make a pool of processes that inherit nothing of this one, which may hold an accelerator.

    The processes are single-threaded and end with the one that started them, even if it is killed.

    Args:
        workers: Processes that work at the same time.
    """
    method = 'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn'
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start)


def _start() -> None:
    """Prepare a worker: the processes are the parallelism, and none outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends them
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's end; a worker that waits for work would not notice it."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)
