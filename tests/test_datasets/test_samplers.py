import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

import mmspd  # noqa: F401
from mmspd.datasets import GoProDataset, SampleIndex, SeededSampler
from mmspd.datasets.seeding import seeded
from mmspd.registry import DATA_SAMPLERS


def draw(results):
    """Stand for random augmentation by all three libraries."""
    return (
        results['key'],
        random.random(),
        np.random.rand(),
        torch.rand(1).item(),
    )


@pytest.fixture
def dataset(gopro_root):
    return GoProDataset(str(gopro_root), pipeline=[draw])


def epochs(dataset, workers=0, persistent=False, first=0, seed=5):
    """Samples of epochs ``first`` and ``first + 1``, as the runner's loop would get them."""
    sampler = SeededSampler(dataset, shuffle=True, seed=seed)
    loader = DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=persistent,
        collate_fn=list,
    )
    found = []
    for epoch in (first, first + 1):
        sampler.set_epoch(epoch)
        found.append([sample for batch in loader for sample in batch])
    return found


def test_sample_index_is_an_int_that_keeps_its_seeds():
    index = SampleIndex(7, seed=1, epoch=2, draw=7)
    for copy in (pickle.loads(pickle.dumps(index)), index % 5, index - 3):
        assert (copy.seed, copy.epoch, copy.draw) == (1, 2, 7)
    assert (int(index % 5), int(index - 3), [10, 20][index % 2]) == (2, 4, 20)


def test_workers_and_persistence_change_nothing(dataset):
    expected = epochs(dataset)
    assert epochs(dataset, workers=2) == expected
    assert epochs(dataset, workers=2, persistent=True) == expected


def test_a_resumed_epoch_equals_an_uninterrupted_one(dataset):
    assert epochs(dataset, first=1)[0] == epochs(dataset)[1]


def test_epochs_seeds_and_samples_differ(dataset):
    first, second = ({sample[0]: sample[1:] for sample in found} for found in epochs(dataset))
    other = {sample[0]: sample[1:] for sample in epochs(dataset, seed=6)[0]}
    assert first.keys() == second.keys() == other.keys()
    numbers = [number for found in (first, second, other) for key in found for number in found[key]]
    assert len(set(numbers)) == 3 * 6 * 3


def test_seed_can_be_set_after_building(dataset):
    sampler = DATA_SAMPLERS.build(dict(type='mmspd.SeededSampler', dataset=dataset, seed=1))
    sampler.seed = 5
    reference = SeededSampler(dataset, seed=5)
    assert [(int(i), i.seed) for i in sampler] == [(int(i), 5) for i in reference]


def test_repetitions_of_an_image_differ_within_an_epoch(dataset):
    found = epochs(RepeatDataset(dataset, times=3))[0]
    assert len(found) == 18
    assert len({sample[1:] for sample in found}) == 18
    assert len({sample[0] for sample in found}) == 6


def test_concatenated_datasets_stay_seeded(dataset, gopro_root):
    def make():
        test = GoProDataset(str(gopro_root), 'test', pipeline=[draw])
        return ConcatDataset([dataset, test])

    first, second = epochs(make(), workers=0), epochs(make(), workers=2)
    assert first == second
    assert len({sample[1] for sample in first[0]}) == 12


def test_the_random_state_of_the_process_is_left_alone(dataset):
    def numbers():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = numbers()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    dataset[SampleIndex(3, seed=0, epoch=0, draw=3)]
    assert numbers() == expected


def test_random_state_comes_back_after_an_error():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1, 2, 3):
        torch.rand(2, 3) @ torch.rand(2, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_plain_index_uses_the_random_state_of_the_process(dataset):
    np.random.seed(1)
    first = dataset[0]
    np.random.seed(1)
    assert dataset[0][2] == first[2]
    assert dataset[0][2] != first[2]


def test_refetching_after_a_rejected_sample_is_seeded(gopro_root):
    def reject_most(results):
        return results['key'] if results['key'].endswith('3') else None

    dataset = GoProDataset(str(gopro_root), pipeline=[reject_most])
    index = SampleIndex(0, seed=4, epoch=0, draw=0)
    assert {dataset[index] for _ in range(5)} == {dataset[index]}
