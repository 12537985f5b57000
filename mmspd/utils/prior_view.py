"""What the prior of an image looks like and does, as plain arrays and numbers."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from mmspd.utils.psnr import psnr

__all__ = ['LevelView', 'PriorView', 'SeamView']


class LevelView(NamedTuple):
    """One level of the prior.

    Attributes:
        stride: pixels of the image per pixel of the maps.
        prior: f_pri ``(C, h, w)``; for an image-level prior the probabilities of the classes.
        aggregated: M_pri ``(C, h, w)``, what the seams of this level take; ``None`` if there are
            none.
        student: what the prior loss compares, the head's output ``(T, h, w)`` or the
            probabilities; ``None`` without a sharp image or a teacher, as the next two.
        teacher: f_gt ``(T, h, w)``.
        similarity: cosine of student and teacher over the channels, ``(h, w)``, -1 ... 1.
    """

    stride: int
    prior: np.ndarray
    aggregated: Optional[np.ndarray]
    student: Optional[np.ndarray] = None
    teacher: Optional[np.ndarray] = None
    similarity: Optional[np.ndarray] = None


class SeamView(NamedTuple):
    """What SAT does at one seam, at the prior's resolution.

    Attributes:
        level: index of the prior's level that the seam takes.
        mu: mean over the channels of mu, ``(h, w)``; 1 changes nothing.
        sigma: likewise of sigma; 0 changes nothing.
        mu_change: mean of ``|mu - 1|`` over channels and pixels.
        mu_spread: standard deviation of mu over the pixels, averaged over the channels: how much
            of it depends on the place in the image.
        sigma_size: as ``mu_change``, of ``|sigma|``.
        sigma_spread: likewise of sigma.
    """

    level: int
    mu: np.ndarray
    sigma: np.ndarray
    mu_change: float
    mu_spread: float
    sigma_size: float
    sigma_spread: float


class PriorView(NamedTuple):
    """The prior of one image, and what it does.

    Attributes:
        blurry: ``(H, W, 3)``, RGB, uint8, as the next two.
        restored: the model's result.
        sharp: ``None`` where it is not known.
        levels: the levels of the prior, fine to coarse.
        seams: the seams where the fusion is SAT, by name.
        classes: number of classes where the prior is a segmentation map, else ``None``.
        notes: why something is missing, a sentence each.
    """

    blurry: np.ndarray
    restored: np.ndarray
    sharp: Optional[np.ndarray]
    levels: List[LevelView]
    seams: Dict[str, SeamView]
    classes: Optional[int]
    notes: Tuple[str, ...]

    def psnr(self) -> Optional[Tuple[float, float]]:
        """PSNR of the blurry and of the restored image in dB; ``None`` without a sharp one."""
        if self.sharp is None:
            return None
        return psnr(self.blurry, self.sharp), psnr(self.restored, self.sharp)

    def numbers(self) -> Dict[str, Any]:
        """The view in numbers, ready for JSON.

        Returns:
            ``psnr`` (``blurry``, ``restored``; where there is a sharp image); ``levels``, each
            with ``stride`` and, where there is a teacher, the mean ``similarity``; ``seams`` by
            name, each with ``level`` (1 the finest) and the numbers of :class:`SeamView`.
        """
        numbers: Dict[str, Any] = {}
        values = self.psnr()
        if values is not None:
            numbers['psnr'] = dict(zip(('blurry', 'restored'), values))
        numbers['levels'] = [{'stride': level.stride} for level in self.levels]
        for entry, level in zip(numbers['levels'], self.levels):
            if level.similarity is not None:
                entry['similarity'] = float(level.similarity.mean())
        numbers['seams'] = {
            name: dict(
                level=seam.level + 1,
                mu_change=seam.mu_change,
                mu_spread=seam.mu_spread,
                sigma_size=seam.sigma_size,
                sigma_spread=seam.sigma_spread,
            )
            for name, seam in self.seams.items()
        }
        return numbers
