"""The outcome of the training in a precision, and the advice that follows from it."""

from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

import torch
from mmengine.device import get_device

from mmspd.doctor.abilities import GAIN, amp_precision
from mmspd.doctor.report import Line
from mmspd.doctor.speed import compared
from mmspd.utils.device import computes_natively, has_accelerator

__all__ = ['Outcome', 'advice_of', 'outcome_line', 'read_outcome']

#: Largest deviation of a resumed run on an accelerator, whose sums depend on the order of threads.
#: The deviation is relative to the change of the weights since the checkpoint. Another rounding of
#: bfloat16 gives up to 0.03, a resume without the state of the optimizer 0.6.
TOLERANCE = 0.1
_FIX = 'correct the cause or report this page as a bug; do not train in this precision here'


class Outcome(NamedTuple):
    """The runs of a precision.

    Attributes:
        precision: The precision.
        seconds: The time of the fastest step; None if no step was finished.
        state: State of the resume, as in :class:`~mmspd.doctor.report.Line`.
        text: The comparison of the resumed and the uninterrupted run, or the error of a run.
    """

    precision: str
    seconds: Optional[float]
    state: str
    text: str


def read_outcome(folder: Path, precision: str) -> Outcome:
    """Read the files of the runs of a precision.

    Args:
        folder: Folder of the runs: ``PRECISION.steps`` with the seconds of each step,
            ``NAME-PRECISION.error``, and the work folders ``full/PRECISION`` and
            ``stopped/PRECISION``.
        precision: The precision.

    Returns:
        The outcome.
    """
    steps = folder / f'{precision}.steps'
    seconds = min(map(float, steps.read_text().split())) if steps.is_file() else None
    files = sorted(folder.glob(f'*-{precision}.error'))
    errors = [file.read_text().removesuffix('.') for file in files]
    if errors:
        return Outcome(precision, seconds, 'FAULT', '; '.join(errors))
    return Outcome(precision, seconds, *_resume(folder, precision))


def _resume(folder: Path, precision: str) -> Tuple[str, str]:
    """Compare the last checkpoints of the uninterrupted and the resumed run.

    Returns:
        The state and the description.
    """
    full, stopped = folder / 'full' / precision, folder / 'stopped' / precision
    files = [full / 'epoch_1.pth', full / 'epoch_2.pth', stopped / 'epoch_2.pth']
    if not all(file.is_file() for file in files):
        return '-', 'the runs were not finished in time'
    start, end, resumed = map(_weights, files)
    moved = _distance(end, start)
    if not moved:
        return '-', 'no step changed a weight, so the resume shows nothing'
    if all(torch.equal(end[key], resumed[key]) for key in end):
        return 'ok', 'a resumed run ends with equal weights'
    deviation = _distance(end, resumed) / moved
    text = f'the weights of a resumed run differ by {deviation:.1%} of their last change'
    if has_accelerator() and deviation <= TOLERANCE:
        return 'ok', f'{text}, which rounding explains up to {TOLERANCE:.0%}'
    return 'FAULT', text


def _weights(path: Path) -> Dict[str, torch.Tensor]:
    state: Dict[str, torch.Tensor] = torch.load(path, 'cpu', weights_only=True)['state_dict']
    return state


def _distance(one: Dict[str, torch.Tensor], other: Dict[str, torch.Tensor]) -> float:
    """Return the distance between the weights of two generators."""
    keys = [key for key in one if key.startswith('generator.') and one[key].is_floating_point()]
    return sum(float((one[key] - other[key]).double().square().sum()) for key in keys) ** 0.5


def outcome_line(outcome: Outcome, plain: Optional[float]) -> Line:
    """Describe the runs of a precision.

    Args:
        outcome: The runs.
        plain: Seconds of a step in float32, if they are known.

    Returns:
        The line.
    """
    precision, seconds, state, text = outcome
    fix = _FIX if state == 'FAULT' else ''
    if seconds is None:
        return Line(state, precision, text if fix else 'no step was finished in time', fix)
    step = f'{1000 * seconds:.0f} ms a step'
    if precision != 'float32' and plain is not None:
        step += f', {compared(plain / seconds, "float32")}'
    return Line(state, precision, f'{step}; {text}', fix)


def advice_of(outcomes: Dict[str, Outcome]) -> str:
    """Name the options of the fastest training on this machine.

    float32 is preferred to ``--amp``, and ``--amp`` to another precision, unless this costs more
    than a tenth of the time.

    Args:
        outcomes: The outcomes by precision.

    Returns:
        A sentence; empty if float32 or the precision of ``--amp`` has no step.
    """
    amp = amp_precision()
    steps = {
        precision: outcome.seconds
        for precision, outcome in outcomes.items()
        if outcome.seconds is not None and outcome.state != 'FAULT'
    }
    plain = steps.get('float32')
    if plain is None or amp not in steps:
        return ''
    best = 'float32'
    for precision in (amp, *steps):
        if steps[best] > GAIN * steps[precision]:
            best = precision
    device = get_device()
    times = f'{1000 * steps[amp]:.0f} ms in {amp}, {1000 * plain:.0f} ms in float32'
    if best == amp:
        return f'Train with --amp on {device}: a step takes {times}.'
    if best != 'float32':
        option = f'--amp --cfg-options optim_wrapper.dtype={best}'
        return (
            f'Train with {option} on {device}: a step takes {1000 * steps[best]:.0f} ms; {times}.'
        )
    if steps[amp] > GAIN * plain:
        native = computes_natively(torch.device(device), amp)
        reason = '' if native else f'{amp} is emulated, and '
        return f'Do not use --amp on {device}: {reason}a step takes {times}.'
    return f'Train in float32 on {device}: --amp saves little time, a step takes {times}.'
