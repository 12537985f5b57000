"""PrefetchHook on the device: the copies are right even if copies and computations are slow.

On the CPU, the hook has no effect, and the same test passes without it.
"""

import types

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from mmengine.structures import BaseDataElement

from mmspd.registry import HOOKS

pytestmark = pytest.mark.cuda

COUNT, SIDE, POISON = 12, 256, 255
#: About ten milliseconds of a GPU.
CYCLES = 20_000_000


class PoisonedLoader:
    """Yields batches of one number each, and poisons the memory of a batch after its hand-over."""

    def __len__(self):
        return COUNT

    def __iter__(self):
        for number in range(COUNT):
            blurry, sharp = torch.full((2, 3, SIDE, SIDE), number, dtype=torch.uint8)
            yield dict(inputs=[blurry], data_samples=[BaseDataElement(gt_img=sharp)])
            blurry.fill_(POISON)
            sharp.fill_(POISON)


def sleep(device, needed):
    """Occupy the current stream of a GPU."""
    if needed and device.type == 'cuda':
        torch.cuda._sleep(CYCLES)


def prefetched(device):
    """Return the loader of a training loop after the hook."""
    loop = object.__new__(EpochBasedTrainLoop)
    loop.dataloader = PoisonedLoader()
    model = torch.nn.Linear(1, 1).to(device)
    runner = types.SimpleNamespace(train_loop=loop, model=model)
    HOOKS.build(dict(type='mmspd.PrefetchHook')).before_train(runner)
    return loop.dataloader


@pytest.mark.parametrize('slow', ['copies', 'computations'])
def test_no_batch_is_read_or_overwritten_too_early(device, slow, monkeypatch):
    """The copies of a batch start while the device still computes with the batches before it."""
    pin, sums = torch.Tensor.pin_memory, []

    def delayed(tensor):  # the hook pins a tensor on the stream of the copies
        sleep(device, slow == 'copies')
        return pin(tensor)

    monkeypatch.setattr(torch.Tensor, 'pin_memory', delayed)
    for batch in prefetched(device):
        images = [*batch['inputs'], batch['data_samples'][0].gt_img]
        assert {image.device.type for image in images} == {device.type}
        sleep(device, slow == 'computations')
        sums.append(torch.stack([image.long().sum() for image in images]))
        for image in images:
            image.fill_(POISON)
        del batch, images, image  # the copies of the next batches may use their memory
    pixels = 3 * SIDE * SIDE
    assert torch.stack(sums).tolist() == [[number * pixels] * 2 for number in range(COUNT)]
