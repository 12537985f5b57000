"""Work on many files in several processes."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from typing import Callable, Iterator, Sequence, TypeVar

import cv2

from mmspd.errors import UserError

__all__ = ['map_in_processes']

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
    """
    if workers < 1:
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(workers, initializer=_start)
    try:
        yield from pool.map(function, jobs)
    except BrokenProcessPool as error:
        raise UserError(
            'a worker process was killed, most likely for want of memory: use fewer workers'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Prepare a worker: the processes are the parallelism, and none outlives its parent."""
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's end; a worker that waits for work would not notice it."""
    parent_process().join()
    os._exit(1)
