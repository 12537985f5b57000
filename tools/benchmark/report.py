"""Read the results of the suite, and write its table and its page."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import blur_synthesis
import ceilings
import data_loading
import inference
import overhead
import train_step
import training_run
from measure import Spread

from mmspd.utils.tables import text_table

SUITE = 'suite.json'
#: The tools of the suite, by their names.
TOOLS: Dict[str, ModuleType] = {
    tool.__name__: tool
    for tool in (
        *(ceilings, train_step, inference, overhead, data_loading, blur_synthesis, training_run),
    )
}
HEADER = (
    *('measurement', 'value (quartiles)', 'ratio (quartiles)', 'ratio of', 'TFLOP/s'),
    *('share of float32', 'share of bfloat16'),
)
LEGEND = (
    'TFLOP/s: two operations for each multiply-accumulate (MAC) of convolutions and matrix\n'
    'products, divided by the time. The last two columns are their shares of the speed of a large\n'
    'matrix product in float32 and in bfloat16 on this machine. Training steps count the MACs of\n'
    'the plain loop, with teacher, losses and backward pass.\n\n'
    'Times are elapsed times. Only on a CPU with one thread, the times of matrix products, steps\n'
    'and networks are processor times, which other programs change less than elapsed times.'
)


class Row(NamedTuple):
    """A row of the table of the suite.

    Attributes:
        name: Name of the measurement.
        value: Value with its unit.
        ratio: Ratio to another measurement, or an empty text.
        ratio_of: Meaning of the ratio.
        tflops: Achieved TFLOP/s, or None.
    """

    name: str
    value: str
    ratio: str = ''
    ratio_of: str = ''
    tflops: Optional[float] = None


@dataclass(frozen=True)
class Measured:
    """A part of the suite with its results.

    Attributes:
        part: Entry of the part in ``suite.json``.
        record: Record that the tool has written, or None.
    """

    part: Dict[str, Any]
    record: Optional[Dict[str, Any]]

    @property
    def tool(self) -> str:
        """Name of the tool."""
        return self.part['tool']

    @property
    def results(self) -> Any:
        """Results of the tool, or None."""
        return None if self.record is None else self.record['results']

    @property
    def state(self) -> str:
        """State of the part, and the reason if there is one."""
        reason = self.part['reason']
        return f'{self.part["state"]}: {reason}' if reason else self.part['state']


def read_json(path: Path) -> Any:
    """Read a record. Medians with quartiles become a :class:`~measure.Spread`.

    Args:
        path: File of a benchmark.
    """

    def spread_of(values: Dict[str, Any]) -> Any:
        return Spread(**values) if values.keys() == {'median', 'low', 'high'} else values

    return json.loads(path.read_text(), object_hook=spread_of)


def read_suite(folder: Path) -> List[Measured]:
    """Read the results of a run.

    Args:
        folder: Output folder of the suite.

    Returns:
        All parts, also those without results.
    """
    parts = read_json(folder / SUITE)['parts']
    files = [folder / f'{part["name"]}.json' for part in parts]
    return [
        Measured(part, read_json(file) if file.is_file() else None)
        for part, file in zip(parts, files)
    ]


def tera_flops(macs: float, seconds: float) -> float:
    """Return the achieved TFLOP/s.

    Args:
        macs: Multiply-accumulates.
        seconds: Their time.
    """
    return 2e-12 * macs / seconds


def ceiling_rows(results: Dict[str, Any]) -> List[Row]:
    """Return the rows of :mod:`ceilings`."""
    rows = [Row('copy', f'{results["copy"]["best"]:.3g} GB/s')]
    for precision, speed in results['matrix_product'].items():
        rows.append(Row(f'matrix product, {precision}', '', tflops=speed['best']))
    return rows


def training_rows(results: Dict[str, Any]) -> List[Row]:
    """Return the rows of :mod:`train_step`."""
    rows = []
    for variant, values in results['variants'].items():
        ratio = values.get('reference / it')
        rows.append(
            Row(
                f'training step, {Path(results["config"]).stem}, {named(variant)}',
                f'{values["ms"].text(1)} ms',
                '' if ratio is None else ratio.text(),
                '' if ratio is None else 'speed, to the plain loop',
                tera_flops(results['macs'], values['ms'].median / 1e3),
            )
        )
    return rows


def inference_rows(results: List[Dict[str, Any]]) -> List[Row]:
    """Return the rows of :mod:`inference`."""
    rows = []
    for values in results:
        name, size = f'{values["restorer"]} {values["network"]}', '{}x{}'.format(*values['size'])
        is_reference = values['name'] == inference.REFERENCE
        rows.append(
            Row(
                f'inference, {name}, {size}, {named(values["name"])}',
                f'{values["seconds"].text(1, 1e3)} ms',
                '' if is_reference else values['speed_up'].text(),
                '' if is_reference else 'speed, to the plain loop',
                tera_flops(values['macs'], values['seconds'].median),
            )
        )
    return rows


def overhead_rows(results: List[Dict[str, Any]]) -> List[Row]:
    """Return the rows of :mod:`overhead`."""
    rows = []
    for values in results:
        forward = values['forward']['contiguous']['seconds']
        flops = tera_flops(values['macs']['guided'], forward['guided'].median)
        for name, seconds, speed in (
            ('forward', forward, flops),
            ('training step', values['step']['seconds'], None),
        ):
            rows.append(
                Row(
                    f'{name}, {values["restorer"]} guided',
                    f'{seconds["guided"].text(1, 1e3)} ms',
                    seconds['ratio'].text(),
                    'time, to no prior',
                    speed,
                )
            )
    return rows


def loading_rows(results: Dict[str, Any]) -> List[Row]:
    """Return the rows of :mod:`data_loading`."""
    rows = []
    decoding = {}
    for values in results['loader']:
        speed, workers = values['samples_per_second'], values['workers']
        decoding.setdefault(workers, speed.median)
        is_pack = values['method'] == 'pack'
        rows.append(
            Row(
                f'loading, {values["method"]}, workers: {workers}',
                f'{speed.text(1)} samples/s',
                f'{speed.median / decoding[workers]:.1f}' if is_pack else '',
                'speed, to decoding' if is_pack else '',
            )
        )
    return rows


def blur_rows(results: Dict[str, Any]) -> List[Row]:
    """Return the rows of :mod:`blur_synthesis`."""
    speed = {part: f'{results[part].text(1)} samples/s' for part in ('blurring', 'drawing')}
    batch, milliseconds = results['batch'], results['seconds'].text(1, 1e3)
    return [
        Row('blur synthesis, a worker', speed['blurring']),
        Row(
            'blur synthesis, a worker that only draws',
            speed['drawing'],
            results['ratio'].text(1),
            'speed, to blurring',
        ),
        Row(
            f'blur synthesis on the device, batch {batch}',
            f'{milliseconds} ms, {results["device"].text(1)} samples/s',
        ),
    ]


def run_rows(results: Dict[str, Any]) -> List[Row]:
    """Return the rows of :mod:`training_run`."""
    name = f'training of {results["config"]}, {results["variant"]}'
    first, last = results['losses']
    return [
        Row(f'{name}, speed', f'{results["steps_per_second"]:.2f} steps/s'),
        Row(f'{name}, waiting for data', f'{100 * results["waiting"]:.1f} % of the time'),
        Row(f'{name}, loss', f'{first:.4f} to {last:.4f}'),
    ]


ROWS: Dict[str, Callable[[Any], List[Row]]] = {
    'ceilings': ceiling_rows,
    'train_step': training_rows,
    'inference': inference_rows,
    'overhead': overhead_rows,
    'data_loading': loading_rows,
    'blur_synthesis': blur_rows,
    'training_run': run_rows,
}


def named(variant: str) -> str:
    """Return the name of a variant in the table."""
    return 'plain loop' if variant == inference.REFERENCE else variant


def find_ceilings(measured: List[Measured]) -> Dict[str, float]:
    """Return the TFLOP/s of the matrix product in each precision; an empty dict if not measured."""
    for each in measured:
        if each.tool == 'ceilings' and each.results is not None:
            return {name: value['best'] for name, value in each.results['matrix_product'].items()}
    return {}


def cells_of(row: Row, ceiling: Dict[str, float]) -> List[str]:
    """Return the cells of a row.

    Args:
        row: The row.
        ceiling: TFLOP/s of the matrix product in each precision.
    """
    speed = row.tflops
    if speed is None:
        return [*row[:-1], '', '', '']
    shares = [
        f'{100 * speed / ceiling[precision]:.0f} %' if precision in ceiling else ''
        for precision in ('float32', 'bfloat16')
    ]
    return [*row[:-1], f'{speed:.3g}', *shares]


def describe_device(record: Dict[str, Any]) -> str:
    """Return the device of a record, such as ``'cpu, 2 threads'``."""
    machine = record['machine']
    return machine.get('accelerator', f'cpu, threads: {machine["threads"]}')


def describe_versions(record: Dict[str, Any]) -> str:
    """Return the versions of a record as text."""
    machine = record['machine']
    known = {
        **{name: machine[name] for name in ('python', 'torch', 'cuda', 'cudnn') if name in machine},
        **record['versions'],
    }
    return ', '.join(f'{name} {version}' for name, version in known.items())


def summary(measured: List[Measured]) -> str:
    """Return the table of all measurements, each with its device, versions and command.

    Args:
        measured: Parts of the suite.
    """
    ceiling = find_ceilings(measured)
    rows, commands = [], []
    for each in measured:
        if each.record is None:
            continue
        commands.append(f'[{len(commands) + 1}] {each.record["command"]}')
        origin = [
            describe_device(each.record),
            describe_versions(each.record),
            f'[{len(commands)}]',
        ]
        rows += [[*cells_of(row, ceiling), *origin] for row in ROWS[each.tool](each.results)]
    table = text_table((*HEADER, 'device', 'versions', 'command'), rows)
    return '\n'.join([table, '', LEGEND, '', *commands])


def page(measured: List[Measured]) -> str:
    """Return the results of the suite as Markdown, with headings of the third level.

    Args:
        measured: Parts of the suite.
    """
    ceiling = find_ceilings(measured)
    done = [each for each in measured if each.record is not None]
    rows = [cells_of(row, ceiling) for each in done for row in ROWS[each.tool](each.results)]
    texts = ['### All measurements', text_table(HEADER, rows), LEGEND]
    for each in done:
        texts += [f'### {each.part["title"]}', TOOLS[each.tool].report(each.results)]
    return '\n\n'.join([*texts, '### Commands and machine', commands(measured), ''])


def commands(measured: List[Measured]) -> str:
    """Return a table with the state, the machine and the command of each part.

    Args:
        measured: Parts of the suite.
    """
    rows = []
    for each in measured:
        record = each.record
        origin = ['', '', '', '']
        if record is not None:
            origin = [
                record['date'],
                f'{record["load"]}',
                describe_device(record),
                describe_versions(record),
            ]
        seconds = '' if each.part['seconds'] is None else f'{each.part["seconds"]:.0f} s'
        rows.append([each.part['title'], each.state, seconds, *origin, f'`{each.part["command"]}`'])
    header = ('part', 'state', 'time', 'date', 'load', 'device', 'versions', 'command')
    processors = sorted({each.record['machine']['processor'] for each in measured if each.record})
    cores = sorted({each.record['machine']['cores'] for each in measured if each.record})
    if not processors:
        return text_table(header, rows)
    notes = (
        f'Processor: {", ".join(processors)}; cores: {", ".join(map(str, cores))}. The load is the '
        'average number of running processes in the last minute of a part, including its own.'
    )
    return f'{text_table(header, rows)}\n\n{textwrap.fill(notes, 100)}'
