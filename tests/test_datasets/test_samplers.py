import json
import pickle
import random
from collections import Counter
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from mmspd.datasets import GoProDataset, SampleIndex, SeededSampler, SeveritySampler
from mmspd.errors import UserError
from mmspd.registry import DATA_SAMPLERS


def draw(results):
    """Replace random augmentation: draw a number from each of the three libraries."""
    return results['key'], random.random(), np.random.rand(), torch.rand(1).item()


@pytest.fixture
def dataset(gopro_root):
    return GoProDataset(str(gopro_root), pipeline=[draw])


def epochs(dataset, workers=0, persistent=False, first=0, seed=5):
    """Return the samples of epochs ``first`` and ``first + 1``."""
    sampler = SeededSampler(dataset, shuffle=True, seed=seed)
    options = dict(num_workers=workers, persistent_workers=persistent, collate_fn=list)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, **options)
    samples = []
    for epoch in (first, first + 1):
        sampler.set_epoch(epoch)
        samples.append([sample for batch in loader for sample in batch])
    return samples


def test_sample_index_is_an_int_that_keeps_its_seeds():
    index = SampleIndex(7, seed=1, epoch=2, draw=7)
    for copy in (pickle.loads(pickle.dumps(index)), index % 5, index - 3):
        assert (copy.seed, copy.epoch, copy.draw) == (1, 2, 7)
    assert (int(index % 5), int(index - 3), [10, 20][index % 2]) == (2, 4, 20)


@pytest.mark.slow
def test_workers_and_persistence_change_nothing(dataset):
    expected = epochs(dataset)
    assert epochs(dataset, workers=2) == expected
    assert epochs(dataset, workers=2, persistent=True) == expected


def test_a_resumed_epoch_equals_an_uninterrupted_one(dataset):
    assert epochs(dataset, first=1)[0] == epochs(dataset)[1]


def test_epochs_seeds_and_samples_differ(dataset):
    first, second = ({sample[0]: sample[1:] for sample in samples} for samples in epochs(dataset))
    other = {sample[0]: sample[1:] for sample in epochs(dataset, seed=6)[0]}
    assert first.keys() == second.keys() == other.keys()
    numbers = [number for epoch in (first, second, other) for key in epoch for number in epoch[key]]
    assert len(set(numbers)) == 3 * 6 * 3


def test_seed_can_be_set_after_building(dataset):
    sampler = DATA_SAMPLERS.build(dict(type='mmspd.SeededSampler', dataset=dataset, seed=1))
    sampler.seed = 5
    reference = SeededSampler(dataset, seed=5)
    assert [(int(i), i.seed) for i in sampler] == [(int(i), 5) for i in reference]


@pytest.mark.slow
def test_wrapped_datasets_stay_seeded(dataset, gopro_root):
    test = GoProDataset(str(gopro_root), 'test', pipeline=[draw])
    for wrapped, count in (
        (RepeatDataset(dataset, times=3), 18),
        (ConcatDataset([dataset, test]), 12),
    ):
        samples = epochs(wrapped)
        assert epochs(wrapped, workers=2) == samples
        assert len(samples[0]) == len({sample[1:] for sample in samples[0]}) == count
        assert len({sample[0] for sample in samples[0]}) == 6


@pytest.mark.parametrize('fails', [False, True])
def test_the_random_state_of_the_process_is_left_alone(gopro_root, fails):
    def numbers():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def step(results):
        return draw(results)[4 if fails else 0]

    dataset = GoProDataset(str(gopro_root), pipeline=[step])
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = numbers()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(UserError) if fails else nullcontext():
        dataset[SampleIndex(3, seed=0, epoch=0, draw=3)]
    assert numbers() == expected


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


class TestSeveritySampler:
    NAMES = ('mild', 'moderate', 'severe')

    @pytest.fixture
    def records(self, gopro_root):
        """Write records of the 6 pairs, 2 of each severity, and return the file."""
        keys = [f'GOPR038{4 + i}_11_0{i}/00000{j}' for i in (0, 1) for j in (1, 2, 3)]
        path = gopro_root / 'train' / 'records.jsonl'
        lines = [dict(key=key, severity=self.NAMES[i % 3]) for i, key in enumerate(keys)]
        path.write_text('\n'.join(map(json.dumps, lines)))
        return path

    @pytest.fixture
    def recorded(self, gopro_root, records):
        return GoProDataset(str(gopro_root), pipeline=[draw])

    @staticmethod
    def indices(sampler, epoch=0):
        sampler.set_epoch(epoch)
        return list(sampler)

    def test_images_are_drawn_in_proportion_to_their_weights(self, recorded):
        weights = dict(mild=0, moderate=1, severe=3)
        sampler = SeveritySampler(recorded, weights, seed=5)
        assert len(sampler) == 6
        counts = Counter()
        for epoch in range(100):
            drawn = [recorded.get_data_info(i)['severity'] for i in self.indices(sampler, epoch)]
            assert len(drawn) == 6
            # the mean weight is 4 / 3, so an image is drawn 0.75 or 2.25 times on average
            assert 4 <= drawn.count('severe') <= 6
            counts.update(drawn)
        assert counts['mild'] == 0
        assert counts['severe'] == pytest.approx(450, abs=15)

    def test_equal_weights_draw_every_image_once_in_random_order(self, recorded):
        sampler = SeveritySampler(recorded, dict.fromkeys(self.NAMES, 2), seed=5)
        orders = [tuple(map(int, self.indices(sampler, epoch))) for epoch in range(3)]
        assert all(sorted(order) == list(range(6)) for order in orders)
        assert len(set(orders)) == 3

    def test_drawn_twice_an_image_gives_two_samples(self, recorded):
        sampler = SeveritySampler(recorded, dict(mild=0, moderate=0, severe=1), seed=5)
        samples = [recorded[index] for index in self.indices(sampler)]
        assert len({sample[0] for sample in samples}) == 2
        assert len({sample[1:] for sample in samples}) == 6
        assert [recorded[index] for index in self.indices(sampler)] == samples
        assert [recorded[index] for index in self.indices(sampler, 1)] != samples

    def test_ranks_share_an_epoch(self, recorded):
        def of_rank(rank, count):
            sampler = SeveritySampler(recorded, dict(mild=1, moderate=1, severe=3), seed=5)
            sampler.rank, sampler.world_size = rank, count
            sampler.num_samples, sampler.total_size = 6 // count, 6
            return [(int(index), index.draw) for index in sampler]

        whole = of_rank(0, 1)
        assert [draw for _, draw in whole] == list(range(6))
        assert of_rank(0, 2) == whole[0::2]
        assert of_rank(1, 2) == whole[1::2]

    def test_wrappers_are_seen_through(self, recorded):
        weights = dict(mild=0, moderate=1, severe=0)
        for wrapped in (RepeatDataset(recorded, 3), ConcatDataset([recorded] * 3)):
            drawn = self.indices(SeveritySampler(wrapped, weights, seed=5))
            assert len(drawn) == 18
            assert {index % 3 for index in map(int, drawn)} == {1}
            samples = [wrapped[index] for index in drawn]
            assert len({sample[1:] for sample in samples}) == 18

    def test_missing_records_are_reported_with_the_fix(self, dataset, records):
        with pytest.raises(
            UserError, match=r'6 of 6 pairs have no recorded severity; run .*set records=FILE'
        ):
            SeveritySampler(dataset, dict(severe=1))
        records.write_text(records.read_text().splitlines()[0])
        partly = GoProDataset(dataset.data_root, pipeline=[draw])
        with pytest.raises(UserError, match='5 of 6 pairs have no'):
            SeveritySampler(partly, dict(mild=1))
        sampler = SeveritySampler(partly, dict(mild=0, unknown=1), seed=5)
        assert 0 not in self.indices(sampler)

    @pytest.mark.parametrize(
        ('weights', 'message'),
        [
            (dict(mild=1, sever=3), "severity 'sever' in weights is unknown"),
            (dict(mild=1, moderate=1, severe=-1), 'give weights of at least 0'),
            (
                dict(mild=0, moderate=0, severe=0, unknown=1),
                'are 0 for all pairs; give a positive weight to mild or',
            ),
            (
                dict(mild=1, severe=1),
                "lack 'moderate', the severity of 2 of 6 pairs; add 'moderate'",
            ),
        ],
    )
    def test_bad_weights_are_refused(self, recorded, weights, message):
        with pytest.raises(UserError, match=message):
            SeveritySampler(recorded, weights)

    def test_other_datasets_are_refused(self):
        with pytest.raises(UserError, match='cannot read the severities of a list'):
            DATA_SAMPLERS.build(
                dict(type='mmspd.SeveritySampler', dataset=[1, 2], weights=dict(mild=1))
            )
