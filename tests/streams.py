"""Imitated CUDA streams, which record the order of their use."""

from contextlib import contextmanager

import torch


class Stream:
    """A stream that records for which stream it waits."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f'{self.name} waits for {other.name}')


def record_streams(monkeypatch, name):
    """Imitate the streams of CUDA.

    Args:
        monkeypatch: The fixture of pytest.
        name: Name of the streams that are created.

    Returns:
        A list, to which each use of a stream appends a text. The current stream is ``computing``.
    """
    log = []

    @contextmanager
    def enter(stream):
        log.append(f'enter {stream.name}')
        yield
        log.append(f'leave {stream.name}')

    monkeypatch.setattr(torch.cuda, 'Stream', lambda device: Stream(name, log))
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: Stream('computing', log))
    monkeypatch.setattr(torch.cuda, 'stream', enter)
    monkeypatch.setattr(
        torch.Tensor, 'record_stream', lambda tensor, by: log.append(f'used by {by.name}')
    )
    return log
