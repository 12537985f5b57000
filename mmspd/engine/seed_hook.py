"""Random numbers that depend on the iteration alone, so that a resumed run repeats them."""

from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmspd.registry import HOOKS

__all__ = ['IterationSeedHook', 'iteration_seed']


def iteration_seed(seed: int, rank: int, iteration: int) -> int:
    """Mix the run's seed, the rank and the iteration into one seed of 64 bits."""
    return int(np.random.SeedSequence([seed, rank, iteration]).generate_state(1, np.uint64)[0])


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed PyTorch (CPU and every accelerator) before each training iteration.

    MMEngine's checkpoints hold no state of the random generators, so dropout and the like differ
    after a resume. A seed made of (run's seed, rank, iteration) needs no state at all.

    It also hands the run's seed to the training sampler: the Runner learns the seed of a resumed
    checkpoint only after its data loader has been built.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Any) -> None:
        """Take the run's seed, which a resume may just have changed."""
        rank = get_rank()
        ranks_differ = runner._randomness_cfg.get('diff_rank_seed', False)
        self._seed = runner.seed - rank if ranks_differ else runner.seed
        self._rank = rank
        loader = runner.train_dataloader
        # a batch sampler of the config's holds the sampler in place of the loader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            if sampler is not None and hasattr(sampler, 'seed'):
                sampler.seed = self._seed

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Seed the generators that the model's forward and backward draw from."""
        torch.manual_seed(iteration_seed(self._seed, self._rank, runner.iter))
