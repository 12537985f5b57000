"""Repair the process pools of older versions of Python."""

import sys
from typing import Any

__all__ = ['end_broken_pools']


def end_broken_pools(module: Any) -> None:
    """Let a process pool end after the death of a worker process.

    Upstream fault in Python 3.10 and the first releases of 3.11: a thread sends the jobs to the
    workers through a pipe. If the pipe is full when the last worker is killed, this thread waits
    forever, and so does ``shutdown``, because the pool itself keeps the pipe's reading end open.
    Later releases close the end in the same way, and closing it twice does no harm.

    Args:
        module: ``concurrent.futures.process``.
    """
    manager = getattr(module, '_ExecutorManagerThread', None)
    if manager is None or sys.version_info >= (3, 12):
        return
    original = manager.terminate_broken
    if original.__module__ == __name__:  # already repaired
        return

    def terminate_broken(self: Any, cause: Any) -> None:
        self.call_queue._reader.close()  # then sending fails, which the thread expects
        original(self, cause)

    manager.terminate_broken = terminate_broken
