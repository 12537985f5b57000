"""Run a function on many jobs in several processes."""

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

#: Message for a worker process that was killed.
WORKER_KILLED = 'A worker process was killed, probably for lack of memory; use fewer workers.'

#: Argument of a function that runs in worker processes.
Job = TypeVar('Job')
#: Result of a function that runs in worker processes.
Result = TypeVar('Result')


def map_in_processes(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """Yield ``function(job)`` for each job, in the order of the jobs.

    The worker processes use one thread each. They end when their parent process ends, even if the
    parent is killed. After an error, or if the caller stops early, no more jobs are started.

    Args:
        function: Function at the top level of a module. The classes of the jobs and the results
            must be at the top level of a module too.
        jobs: Arguments of the function.
        workers: Number of worker processes; 0 runs the jobs in this process.

    Yields:
        The results.

    Raises:
        UserError: A worker process was killed.
        pickle.PicklingError, AttributeError: The function cannot be sent to a process.

    Examples:
        >>> import math
        >>> from mmspd.utils.parallel import map_in_processes
        >>> list(map_in_processes(math.sqrt, [1, 4, 9], workers=2))
        [1.0, 2.0, 3.0]
    """
    if workers < 1:
        yield from map(function, jobs)
        return
    pickle.dumps(function)  # the pool would wait forever for a function that it cannot send
    pool = ProcessPoolExecutor(workers, initializer=_start)
    try:
        yield from pool.map(function, jobs)
    except BrokenProcessPool as error:
        raise UserError(WORKER_KILLED) from error
    finally:
        pool.shutdown(cancel_futures=True)


def clean_pool(workers: int) -> ProcessPoolExecutor:
    """Create a pool of processes that do not inherit the memory or accelerator of this process.

    The worker processes use one thread each. They end when their parent process ends, even if the
    parent is killed.

    Args:
        workers: Number of worker processes.

    Returns:
        The pool.
    """
    method = 'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn'
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), _start)


def _start() -> None:
    """Initialize a worker process: use one thread, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which handles it
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent ends, because an idle worker would not notice the end."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)
