"""Choose the tiles of an image so that the free memory suffices to restore them."""

from typing import List, NamedTuple, Tuple, Union

from mmspd.errors import UserError
from mmspd.models.layers.padding import round_up
from mmspd.models.tiling.grid import Span, spans
from mmspd.models.tiling.network import TileNetwork

__all__ = ['Plan', 'choose_tiles']

SMALLEST_TILE = 384  # 'auto' does not choose smaller tiles, because they lack context


class Plan(NamedTuple):
    """Tiles of an image: the grid of all pairs of ``rows`` and ``columns``.

    Attributes:
        rows: The pixel rows of each row of tiles.
        columns: The pixel columns of each column of tiles.
        whole_prior: Whether each tile gets a crop of the prior of the whole image.
        batch: Number of tiles that are restored at a time.
    """

    rows: List[Span]
    columns: List[Span]
    whole_prior: bool
    batch: int

    @classmethod
    def whole(cls, size: Tuple[int, int]) -> 'Plan':
        """Make a plan with a single tile that covers the whole image.

        Args:
            size: Height and width of the image.

        Returns:
            The plan.
        """
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
        net: The network.
        size: Height and width of the image.
        tile: Side of the tiles in pixels. ``'auto'`` chooses the whole image if it fits into the
            memory, and otherwise the largest tiles that fit.
        overlap: Smallest overlap of neighboring tiles in pixels.
        free: Free memory in bytes.
        batch: Largest number of tiles that are restored at a time. If the prior is computed
            for each tile, the tiles are restored one by one.
        shrink: See :func:`~mmspd.models.tiling.grid.spans`.

    Returns:
        The plan.

    Raises:
        UserError: ``tile`` is ``'auto'`` and the smallest tiles exceed the memory.

    Examples:
        >>> from mmspd.models.restorers import UNet
        >>> from mmspd.models.tiling import TileNetwork
        >>> from mmspd.models.tiling.plan import choose_tiles
        >>> net = TileNetwork(UNet(base=4, num_res=1).eval())
        >>> plan = choose_tiles(net, (720, 1280), tile=512, overlap=64, free=2**30)
        >>> plan.columns
        [Span(start=0, stop=472), Span(start=404, stop=876), Span(start=808, stop=1280)]
        >>> choose_tiles(net, (720, 1280), tile='auto', overlap=64, free=2**30).tile
        (720, 1280)
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
    # a prior that takes more than half of the memory would leave room for small tiles only
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
            f'The smallest automatic tiles ({smallest} pixels) need {missing / 2**20:.0f} MiB more '
            'memory than available; raise memory_budget by this amount, or set tile to a number '
            f'below {smallest}.'
        )
    fitting, too_large = smallest, longest
    while too_large - fitting > max(net.multiple, fitting // 16):
        middle = round_up((fitting + too_large) // 2, net.multiple)
        if lacking(plan(middle, whole_prior)) <= 0:
            fitting = middle
        else:
            too_large = middle
    return plan(fitting, whole_prior)
