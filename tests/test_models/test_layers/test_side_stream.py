"""The order of streams, tested without CUDA."""

import copy
import pickle

import pytest
import torch
from streams import record_streams

from mmspd.models.layers import side_stream
from mmspd.models.layers.side_stream import SideStream


@pytest.fixture
def events(monkeypatch):
    monkeypatch.setattr(side_stream, '_is_on_cuda', lambda tensor: True)
    return record_streams(monkeypatch, 'side')


def double(first, second):
    return first * 2, second * 2


def test_the_streams_wait_for_each_other(events):
    streams = SideStream(active=True)
    for number in range(2):
        x = torch.full((2,), number + 1.0)
        finish = streams.start(double, x, x + 1)
        events.append('generator')
        results = finish()
        assert [result.tolist() for result in results] == [
            [2 + 2 * number] * 2,
            [4 + 2 * number] * 2,
        ]
    step = ['side waits for computing', 'enter side', 'leave side', *2 * ['used by side']]
    step += ['generator', 'computing waits for side', *2 * ['used by computing']]
    assert events == 2 * step


def test_the_stream_is_created_once_and_never_copied(events, monkeypatch):
    created = []
    create = torch.cuda.Stream
    monkeypatch.setattr(
        torch.cuda, 'Stream', lambda device: created.append(device) or create(device)
    )
    streams, x = SideStream(active=True), torch.zeros(1)
    for each in (streams, streams, copy.deepcopy(streams), pickle.loads(pickle.dumps(streams))):
        each.start(double, x, x)()
    assert created == 3 * [torch.device('cpu')]


@pytest.mark.parametrize('active', [True, False])
def test_other_devices_have_no_streams(active, monkeypatch):
    events = record_streams(monkeypatch, 'side')
    if not active:
        monkeypatch.setattr(side_stream, '_is_on_cuda', lambda tensor: True)
    first, second = SideStream(active).start(double, torch.ones(1), torch.zeros(1))()
    assert (first.item(), second.item()) == (2, 0)
    assert not events
