"""Random numbers of one sample, apart from those of the process around it."""

import random
from contextlib import contextmanager
from typing import Iterator

import numpy as np
import torch

__all__ = ['seeded']


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator, and restore them at the end.

    Equal entropy gives equal random numbers in any process; different entropy gives independent
    ones (``numpy.random.SeedSequence``). CUDA generators are not touched.

    Args:
        entropy: Integers, not negative, that name the sample: seed, epoch, index.
    """
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(3, np.uint32)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed would reseed the GPUs too, which belong to the training step
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
