"""Draw the prior and its effect, in colors that are comparable between images."""

from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, cast

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.linalg import orthogonal_procrustes

from mmspd.visualization.prior_view import LevelView, PriorView

__all__ = ['Palette', 'Panel', 'color_panel', 'draw_rows']

DPI = 100
# lengths in inches: width of a panel, width of its color scale with and without numbers, height of
# a title, gap between panels
PANEL, SCALE, BAR, TITLE, GAP = 3.2, 0.72, 0.1, 0.32, 0.06
FLATTEST, TALLEST = 0.3, 1.8  # limits of the height of a panel divided by its width
SPREAD = 2.5  # the colors span this many standard deviations on each side of gray
# components whose variance is less than this share of the largest variance are drawn faint
NO_SIGNAL = 1e-3
LEAST_SPAN = 1e-3  # smallest color span; before training, mu - 1 and sigma are 0 everywhere


class Panel(NamedTuple):
    """A map or an image, and how to show it.

    Attributes:
        name: Name of the file of the panel, without suffix.
        title: Text above the panel.
        pixels: Colors ``(h, w, 3)``, RGB, uint8, or values ``(h, w)``.
        stride: Number of image pixels per pixel of the panel, in each direction.
        colors: Name of the Matplotlib colormap for values; ``None`` for colors.
        span: Values at the two ends of the colormap.
    """

    name: str
    title: str
    pixels: np.ndarray
    stride: int = 1
    colors: Optional[str] = None
    span: Tuple[float, float] = (0.0, 1.0)


Row = List[Optional[Panel]]


class Palette:
    """Colors that have the same meaning in the pictures of several images.

    Red, green and blue are the first three principal components of the features over all images,
    scaled to equal variance. Prior, aggregated prior and teacher have separate components at each
    level. The components are rotated so that the colors are as close as possible to the colors of
    f_pri at the finest level. The features of the student are drawn with the components of the
    teacher, so equal features have equal colors.

    A seam is a place where the prior enters the restorer. Each seam has its own color scales for mu
    and sigma. All images share these scales.

    Args:
        views: Views of the images to compare. They must come from one model. Either all or none of
            them must have a sharp image.

    Examples:
        >>> import numpy as np
        >>> from mmspd.visualization import Palette, PriorView, draw_rows
        >>> from mmspd.visualization.prior_view import LevelView
        >>> image = np.zeros((16, 24, 3), np.uint8)
        >>> feature = np.random.default_rng(0).normal(size=(6, 8, 12)).astype(np.float32)
        >>> level = LevelView(stride=2, prior=feature, aggregated=feature)
        >>> view = PriorView(image, image, None, [level], seams={}, classes=None, notes=())
        >>> rows = Palette([view]).rows(view)
        >>> [panel.name for row in rows for panel in row]
        ['blurry', 'restored', 'prior_1', 'aggregated_1']
        >>> draw_rows(rows, heading='photo.png').dtype
        dtype('uint8')
    """

    def __init__(self, views: Sequence[PriorView]) -> None:
        finest = _pool(views, 'prior', 0)
        reference = _Components(finest, None)(finest)
        self._components = {
            (field, index): _Components(_pool(views, field, index), reference)
            for field in ('prior', 'aggregated', 'teacher')
            for index, level in enumerate(views[0].levels)
            if getattr(level, field) is not None
        }
        self._spans = {}
        for name in views[0].seams:
            seams = [view.seams[name] for view in views]
            self._spans[name] = (
                max(_reach(seam.mu - 1) for seam in seams),
                max(_reach(seam.sigma) for seam in seams),
            )

    def rows(self, view: PriorView) -> List[Row]:
        """Arrange the panels of an image.

        Args:
            view: One of the views of the palette.

        Returns:
            Rows from top to bottom. ``None`` is an empty place.
        """
        rows: List[Row] = [
            list(_images(view)),
            self._features(view, 'prior', '$f_{pri}^%d$'),
            self._features(view, 'aggregated', '$M_{pri}^%d$'),
        ]
        if view.levels[0].teacher is not None:
            if view.classes is None:
                rows.append(self._features(view, 'student', 'student, head($f_{pri}^%d$)'))
            rows.append(self._features(view, 'teacher', 'teacher, $f_{gt}^%d$'))
            rows.append(list(_similarities(view)))
        columns = max(len(row) for row in rows)
        modulations = list(self._modulations(view))
        for start in range(0, len(modulations), columns):
            rows += map(list, zip(*modulations[start : start + columns]))
        return rows

    def _features(self, view: PriorView, field: str, symbol: str) -> Row:
        """Return a panel for each level. The panels of a segmentation prior are class maps."""
        row: Row = []
        for index, level in enumerate(view.levels):
            features = getattr(level, field)
            if features is None:
                row.append(None)
                continue
            stride = _stride(level, field)
            name, title = f'{field}_{index + 1}', f'{symbol % (index + 1)}, stride {stride}'
            if view.classes is not None and field != 'aggregated':
                row.append(_class_map(name, f'{title}, class', stride, features, view.classes))
                continue
            components = self._components['teacher' if field == 'student' else field, index]
            scores = components(_as_rows(features)) / (2 * SPREAD) + 0.5
            pixels = (scores.clip(0, 1) * 255).round().astype(np.uint8)
            pixels = pixels.reshape(*features.shape[1:], 3)
            row.append(Panel(name, title, pixels, stride))
        return row

    def _modulations(self, view: PriorView) -> Iterator[Tuple[Panel, Panel]]:
        for name, seam in sorted(view.seams.items(), key=lambda item: item[1].level):
            stride = view.levels[seam.level].stride
            mu, sigma = self._spans[name]
            titles = [
                rf'$\mu$ at {name}, level {seam.level + 1}, $|\mu-1|$ {seam.mu_change:.4f}',
                rf'$\sigma$ at {name}, level {seam.level + 1}, $|\sigma|$ {seam.sigma_size:.4f}',
            ]
            yield (
                Panel(f'mu_{name}', titles[0], seam.mu, stride, 'RdBu_r', (1 - mu, 1 + mu)),
                Panel(f'sigma_{name}', titles[1], seam.sigma, stride, 'RdBu_r', (-sigma, sigma)),
            )


class _Components:
    """Computes the principal components of features.

    Args:
        samples: Features ``(N, C)`` that define the components.
        reference: Colors ``(N, 3)``. The components are rotated to be close to these colors;
            ``None`` for no rotation.
    """

    def __init__(self, samples: np.ndarray, reference: Optional[np.ndarray]) -> None:
        self.mean = samples.mean(0)
        centered = samples - self.mean
        variances, vectors = np.linalg.eigh(centered.T @ centered / len(samples))
        variances, vectors = variances[::-1][:3], vectors[:, ::-1][:, :3]
        least = max(NO_SIGNAL * variances[0], np.finfo(np.float32).tiny)
        axes = vectors * np.where(vectors.sum(0) < 0, -1, 1) / np.sqrt(variances.clip(least))
        self.axes = np.pad(axes, ((0, 0), (0, 3 - axes.shape[1])))
        if reference is not None:
            self.axes = self.axes @ orthogonal_procrustes(centered @ self.axes, reference)[0]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the components ``(N, 3)`` of features ``(N, C)``.

        Over the samples, each component has mean 0 and variance 1, or less if its signal is faint.
        """
        return (features - self.mean) @ self.axes


def _as_rows(features: np.ndarray) -> np.ndarray:
    """Convert features ``(C, h, w)`` to ``(h * w, C)``."""
    return features.reshape(len(features), -1).T.astype(np.float64)


def _pool(views: Sequence[PriorView], field: str, index: int) -> np.ndarray:
    """Collect features ``(N, C)`` of all images, averaged to the size of the coarsest level.

    At this size, the number of samples is small, and it is equal for all levels.
    """
    pooled = []
    for view in views:
        features = torch.from_numpy(getattr(view.levels[index], field))
        grid = view.levels[-1].prior.shape[1:]
        pooled.append(_as_rows(F.adaptive_avg_pool2d(features, grid).numpy()))
    return np.concatenate(pooled)


def _reach(values: np.ndarray) -> float:
    return max(float(np.quantile(np.abs(values), 0.995)), LEAST_SPAN)


def _stride(level: LevelView, field: str) -> int:
    """Return the stride of the maps of a field."""
    compared = field in ('student', 'teacher', 'similarity')
    return level.teacher_stride or level.stride if compared else level.stride


def _images(view: PriorView) -> Iterator[Panel]:
    values = view.psnr() or (None, None)
    for name, value in zip(('blurry', 'restored'), values):
        title = name if value is None else f'{name}, {value:.2f} dB'
        yield Panel(name, title, getattr(view, name))
    if view.sharp is not None:
        yield Panel('sharp', 'sharp', view.sharp)


def _class_map(
    name: str, title: str, stride: int, probabilities: np.ndarray, classes: int
) -> Panel:
    # tab20 has 20 distinct colors; more classes need a continuous colormap
    colors, end = ('tab20', 20) if classes <= 20 else ('gist_ncar', classes)
    # class k is shown with the color of k + 0.5
    best = probabilities.argmax(0) + np.float32(0.5)
    return Panel(name, title, best, stride, colors, (0, end))


def _similarities(view: PriorView) -> Iterator[Panel]:
    for number, level in enumerate(view.levels, 1):
        similarity = cast(np.ndarray, level.similarity)
        title = f'similarity {number}, mean {similarity.mean():.3f}'
        stride = _stride(level, 'similarity')
        yield Panel(f'similarity_{number}', title, similarity, stride, 'viridis')


def color_panel(panel: Panel, size: Tuple[int, int]) -> np.ndarray:
    """Color a panel and enlarge it to the size of the image.

    Args:
        panel: The panel.
        size: Height and width of the image.

    Returns:
        Picture ``(*size, 3)``, RGB, uint8.
    """
    pixels = panel.pixels
    if panel.colors is not None:
        low, high = panel.span
        colors = matplotlib.colormaps[panel.colors]
        pixels = colors((pixels - low) / (high - low), bytes=True)[..., :3]
    large = pixels.repeat(panel.stride, axis=0).repeat(panel.stride, axis=1)
    return large[: size[0], : size[1]]


def draw_rows(rows: Sequence[Row], heading: str) -> np.ndarray:
    """Draw panels with titles and color scales as one picture.

    Args:
        rows: Rows that :meth:`Palette.rows` returned.
        heading: Text above the picture.

    Returns:
        Picture ``(h, w, 3)``, RGB, uint8. Each panel is about 300 pixels wide.
    """
    columns = max(map(len, rows))
    size = cast(Panel, rows[0][0]).pixels.shape[:2]
    height = PANEL * min(max(size[0] / size[1], FLATTEST), TALLEST)
    cell = height + TITLE, PANEL + SCALE  # all lengths are in inches
    total = cell[0] * len(rows) + TITLE + GAP, cell[1] * columns + GAP
    figure = Figure(figsize=total[::-1], dpi=DPI)
    # parse_math is off because a file name may contain dollar signs
    place = GAP / total[1], 1 - GAP / total[0]
    figure.text(*place, heading, fontsize=10, va='top', parse_math=False)

    def add_axes(row: int, left: float, width: float) -> Axes:
        bottom = cell[0] * (len(rows) - row - 1) + GAP
        box = ((left + GAP) / total[1], bottom / total[0], width / total[1], height / total[0])
        return figure.add_axes(box)

    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            if panel is None:
                continue
            left = cell[1] * column
            drawn = _draw(add_axes(row, left, PANEL), panel, size)
            if panel.colors is not None:
                low, high = panel.span
                bar = figure.colorbar(
                    drawn,
                    cax=add_axes(row, left + PANEL + GAP, BAR),
                    ticks=(low, (low + high) / 2, high),
                    format='%.3g',
                )
                bar.ax.tick_params(labelsize=7)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _draw(axes: Axes, panel: Panel, size: Tuple[int, int]) -> AxesImage:
    axes.set_axis_off()
    axes.set_title(panel.title, fontsize=9)
    low, high = panel.span
    rows, columns = (side * panel.stride for side in panel.pixels.shape[:2])
    drawn = axes.imshow(
        panel.pixels,
        cmap=panel.colors,
        vmin=low,
        vmax=high,
        extent=(0, columns, rows, 0),
        interpolation='antialiased' if panel.stride == 1 else 'nearest',
    )
    axes.set(xlim=(0, size[1]), ylim=(size[0], 0))
    return drawn
