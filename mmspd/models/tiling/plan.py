"""Which tiles an image is restored in, by the memory there is."""

from typing import List, NamedTuple, Tuple, Union

from mmspd.errors import UserError
from mmspd.models.padding import round_up
from mmspd.models.tiling.grid import Span, spans
from mmspd.models.tiling.network import TileNetwork

__all__ = ['Plan', 'choose_tiles']

SMALLEST_TILE = 384  # that 'auto' chooses: smaller ones see too little of the image


class Plan(NamedTuple):
    """Tiles of an image, and whether they take their priors from that of the whole image."""

    rows: List[Span]
    columns: List[Span]
    whole_prior: bool

    @property
    def tile(self) -> Tuple[int, int]:
        """Height and width of the largest tile."""
        return self.rows[0].stop, self.columns[0].stop


def choose_tiles(
    net: TileNetwork, size: Tuple[int, int], tile: Union[str, int], overlap: int, free: int
) -> Plan:
    """Choose the tiles of an image: those of ``tile`` pixels, or the largest that fit."""
    priors = [False]
    # with more than half of the memory for the prior, the tiles would be small and many
    if net.guided and net.prior_size(*size) <= free // 2 and net.prior_cost(*size) <= free:
        priors = [True, False]

    def plan(side: int, whole_prior: bool) -> Plan:
        rows, columns = (spans(length, side, overlap, net.multiple) for length in size)
        return Plan(rows, columns, whole_prior and len(rows) * len(columns) > 1)

    def need(candidate: Plan) -> int:
        kept = net.prior_size(*size) if candidate.whole_prior else 0
        return kept + net.cost(size, candidate.tile, candidate.whole_prior)

    if tile != 'auto':
        return plan(tile, priors[0])
    smallest = max(round_up(SMALLEST_TILE, net.multiple), 2 * overlap)
    for whole_prior in priors:
        fitting, too_large = smallest, round_up(max(*size, smallest), net.multiple)
        if need(plan(too_large, whole_prior)) <= free:
            return plan(too_large, whole_prior)
        if need(plan(fitting, whole_prior)) > free:
            continue
        while too_large - fitting > max(net.multiple, fitting // 16):
            middle = round_up((fitting + too_large) // 2, net.multiple)
            if need(plan(middle, whole_prior)) <= free:
                fitting = middle
            else:
                too_large = middle
        return plan(fitting, whole_prior)
    lacking = need(plan(smallest, False)) - free
    raise UserError(
        f'The smallest tile, {smallest} pixels, takes {lacking / 2**20:.0f} MiB more memory than '
        'there is: raise memory_budget, use a smaller model, or state the size of the tiles.'
    )
