"""Which tiles an image is restored in, by the memory there is."""

from typing import List, NamedTuple, Tuple, Union

from mmspd.errors import UserError
from mmspd.models.layers.padding import round_up
from mmspd.models.tiling.grid import Span, spans
from mmspd.models.tiling.network import TileNetwork

__all__ = ['Plan', 'choose_tiles']

SMALLEST_TILE = 384  # that 'auto' chooses: smaller ones see too little of the image


class Plan(NamedTuple):
    """Tiles of an image.

    Attributes:
        rows: where they lie.
        columns: likewise.
        whole_prior: whether they take their priors from that of the whole image.
        batch: how many are restored at a time.
    """

    rows: List[Span]
    columns: List[Span]
    whole_prior: bool
    batch: int

    @classmethod
    def whole(cls, size: Tuple[int, int]) -> 'Plan':
        """One tile, the whole image of height and width ``size``."""
        return cls([Span(0, size[0])], [Span(0, size[1])], whole_prior=False, batch=1)

    @property
    def tile(self) -> Tuple[int, int]:
        """Height and width of the largest tile."""
        return self.rows[0].stop, self.columns[0].stop


def choose_tiles(
    net: TileNetwork,
    size: Tuple[int, int],
    tile: Union[str, int],
    overlap: int,
    free: int,
    batch: int = 1,
    shrink: bool = True,
) -> Plan:
    """Choose the tiles of an image.

    Args:
        net: the network.
        size: height and width of the image.
        tile: side of the tiles; ``'auto'`` for the whole image if it fits the memory, else the
            largest tiles that do.
        overlap: of the tiles.
        free: bytes of memory.
        batch: how many tiles are restored at a time at most; one where each has a prior of its own.
        shrink: see :func:`~mmspd.models.tiling.grid.spans`.

    Raises:
        UserError: not even small tiles fit.
    """

    def plan(side: int, whole_prior: bool) -> Plan:
        rows, columns = (spans(length, side, overlap, net.multiple, shrink) for length in size)
        count = len(rows) * len(columns)
        at_a_time = min(batch, count) if whole_prior or not net.guided else 1
        return Plan(rows, columns, whole_prior and count > 1, at_a_time)

    def lacking(candidate: Plan) -> int:
        kept = net.prior_size(*size) if candidate.whole_prior else 0
        cost = net.cost(size, candidate.tile, candidate.whole_prior)
        return kept + candidate.batch * cost - free

    longest = round_up(max(size), net.multiple)
    if tile == 'auto' and lacking(plan(longest, False)) <= 0:
        return plan(longest, False)
    # with more than half of the memory for the prior, the tiles would be small and many
    whole_prior = net.guided and net.prior_size(*size) <= free // 2
    whole_prior = whole_prior and net.prior_cost(*size) <= free
    if isinstance(tile, int):
        return plan(tile, whole_prior)

    smallest = max(round_up(SMALLEST_TILE, net.multiple), 2 * overlap)
    if whole_prior and lacking(plan(smallest, True)) > 0:
        whole_prior = False
    missing = lacking(plan(smallest, whole_prior))
    if missing > 0:
        raise UserError(
            f'Tiles of {smallest} pixels, the smallest, take {missing / 2**20:.0f} MiB more memory '
            'than there is: raise memory_budget by as much, or state a smaller tile.'
        )
    fitting, too_large = smallest, longest
    while too_large - fitting > max(net.multiple, fitting // 16):
        middle = round_up((fitting + too_large) // 2, net.multiple)
        if lacking(plan(middle, whole_prior)) <= 0:
            fitting = middle
        else:
            too_large = middle
    return plan(fitting, whole_prior)
