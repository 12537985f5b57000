"""Prefetching, tested without CUDA: the moved tensors, their order and their streams."""

import pytest
import torch
from mmengine.structures import BaseDataElement
from streams import record_streams
from torch.utils.data import DataLoader

from mmspd.engine.prefetch_hook import Prefetcher
from mmspd.errors import UserError
from mmspd.registry import HOOKS
from mmspd.utils.sample_stack import SampleStack


@pytest.fixture
def events(monkeypatch):
    """The calls of CUDA functions. The meta device imitates the GPU."""
    log = record_streams(monkeypatch, 'copying')

    def pin(tensor):
        log.append('pin')
        return tensor

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin)
    return log


def collate(numbers):
    sample = BaseDataElement(metainfo=dict(key=numbers), gt_img=torch.zeros(3, dtype=torch.uint8))
    return dict(inputs=[torch.zeros(n, dtype=torch.uint8) for n in numbers], data_samples=[sample])


def test_batches_are_complete_and_in_order(events):
    loader = DataLoader(range(1, 5), batch_size=2, collate_fn=collate)
    prefetcher = Prefetcher(loader, torch.device('meta'))
    assert len(prefetcher) == 2
    assert prefetcher.sampler is loader.sampler
    assert prefetcher.batch_sampler is loader.batch_sampler
    first, second = prefetcher
    assert [t.shape[0] for t in first['inputs'] + second['inputs']] == [1, 2, 3, 4]
    sample = second['data_samples'][0]
    assert sample.metainfo == dict(key=[3, 4])
    for tensor in (*first['inputs'], sample.gt_img):
        assert (tensor.device.type, tensor.dtype) == ('meta', torch.uint8)
    one = ['enter copying', 'pin', 'pin', 'pin', 'leave copying']
    one += ['computing waits for copying', *3 * ['used by computing']]
    assert events == 2 * one


def test_a_batch_is_not_fetched_early(events):
    taken = []
    loader = (taken.append(n) or [torch.zeros(n)] for n in (1, 2))
    batches = iter(Prefetcher(loader, torch.device('meta')))
    next(batches)
    assert taken == [1]


def test_the_cpu_has_no_prefetcher(make_runner):
    runner = make_runner()
    HOOKS.build(dict(type='mmspd.PrefetchHook')).before_train(runner)
    assert isinstance(runner.train_dataloader, DataLoader)
    batch = next(iter(runner.train_dataloader))
    # as uint8, the copy has a quarter of the bytes of float32
    assert batch['inputs'][0].dtype == batch['data_samples'][0].gt_img.dtype == torch.uint8


def test_runs_without_epochs_are_refused(make_runner):
    runner = make_runner("train_cfg = dict(type='mmengine.IterBasedTrainLoop', max_iters=2)")
    with pytest.raises(UserError, match='EpochBasedTrainLoop., not IterBasedTrainLoop'):
        HOOKS.build(dict(type='mmspd.PrefetchHook')).before_train(runner)


def test_a_stack_is_copied_at_once(events):
    samples = [
        BaseDataElement(metainfo=dict(key=key), gt_img=torch.zeros(3, 8, 8)) for key in 'abcd'
    ]
    batch = dict(inputs=torch.zeros(4, 3, 8, 8), data_samples=SampleStack.of(samples))
    (moved,) = Prefetcher([batch], torch.device('meta'))
    assert events.count('pin') == 2
    assert moved['data_samples'].stacked.gt_img.device.type == 'meta'
    assert [sample.key for sample in moved['data_samples']] == list('abcd')
    assert moved['data_samples'][1].gt_img.shape == (3, 8, 8)
    list(batch['data_samples'])
    (moved,) = Prefetcher([batch], torch.device('meta'))
    assert [sample.gt_img.device.type for sample in moved['data_samples']] == 4 * ['meta']
