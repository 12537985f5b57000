"""Seed each iteration, so that resumed and uninterrupted runs draw equal random numbers."""

from typing import Any, Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmspd.registry import HOOKS

__all__ = ['IterationSeedHook', 'iteration_seed']


def iteration_seed(seed: int, rank: int, iteration: int) -> int:
    """Combine the seed of a run, the rank and the iteration into one 64-bit seed.

    Args:
        seed: Seed of the run.
        rank: Rank of the process.
        iteration: Number of the iteration.

    Returns:
        The seed.

    Examples:
        >>> from mmspd.engine.seed_hook import iteration_seed
        >>> iteration_seed(0, 0, 7) == iteration_seed(0, 0, 7)
        True
        >>> iteration_seed(0, 0, 7) == iteration_seed(0, 1, 7)
        False
    """
    return int(np.random.SeedSequence([seed, rank, iteration]).generate_state(1, np.uint64)[0])


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds PyTorch (CPU and all accelerators) before each training iteration.

    MMEngine's checkpoints do not contain the state of the random generators, so dropout, for
    example, would differ after a resume. This hook computes each seed from the seed of the run, the
    rank and the iteration, so it needs no saved state.

    The hook also passes the seed of the run to the training sampler, because the Runner reads the
    seed of a resumed checkpoint after it has built the data loader.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Any) -> None:
        """Read the seed of the run, which a resume may have changed.

        Args:
            runner: MMEngine's runner.
        """
        rank = get_rank()
        ranks_differ = runner._randomness_cfg.get('diff_rank_seed', False)
        self._seed = runner.seed - rank if ranks_differ else runner.seed
        self._rank = rank
        loader = runner.train_dataloader
        # if the config has a batch sampler, the batch sampler contains the sampler
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            if sampler is not None and hasattr(sampler, 'seed'):
                sampler.seed = self._seed

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Optional[Any] = None
    ) -> None:
        """Seed PyTorch's random numbers for the forward and the backward pass.

        Args:
            runner: MMEngine's runner.
            batch_idx: Not used.
            data_batch: Not used.
        """
        torch.manual_seed(iteration_seed(self._seed, self._rank, runner.iter))
