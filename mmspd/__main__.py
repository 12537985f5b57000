"""The command ``mmspd``, which runs the tools: ``mmspd train CONFIG`` is ``tools/train.py CONFIG``.

Only the tool of the command is imported, so ``mmspd --help`` is fast.
"""

import difflib
import sys
from pathlib import Path
from types import ModuleType
from typing import Dict, List, Optional, Tuple

from mmspd.errors import UsageError
from mmspd.utils.cli import run_main
from mmspd.utils.package_files import package_file
from mmspd.version import __version__

__all__ = ['COMMANDS', 'main']

#: The file in ``tools`` and the purpose of each command.
COMMANDS: Dict[str, Tuple[str, str]] = {
    'deblur': ('deblur.py', 'deblur photos and videos'),
    'web': ('webui.py', 'serve a web page that deblurs photos'),
    'train': ('train.py', 'train a model'),
    'test': ('test.py', 'evaluate a checkpoint'),
    'score': ('analysis/score.py', 'measure finished images of any method'),
    'compare': ('analysis/compare.py', 'compare results image by image'),
    'prior': ('analysis/show_prior.py', 'draw the semantic prior of photos'),
    'weights': ('weights.py', 'list, download and share weights'),
    'export': ('deployment/export.py', 'write a network to an ONNX file or a PyTorch program'),
    'config': ('analysis/print_config.py', 'print a config with its base configs'),
    'complexity': ('analysis/complexity.py', 'count the parameters and MACs of a network'),
    'data download': ('dataset_converters/download.py', 'download a data set'),
    'data blur': ('dataset_converters/synthesize_blur.py', 'make pairs from sharp photos'),
    'data severity': ('analysis/severity.py', 'measure the blur severity of each pair'),
    'check': ('dataset_converters/check.py', 'check a data set'),
    'pack': ('dataset_converters/pack.py', 'pack a data set for fast training'),
    'convert official': ('model_converters/official2mmspd.py', 'convert weights of a restorer'),
    'convert tresnet': ('model_converters/asl_tresnet2timm.py', 'convert weights of a teacher'),
    'convert lpips': ('model_converters/lpips_jax2torchvision.py', 'make weights for LPIPS'),
    'benchmark suite': ('benchmark/suite.py', 'run all benchmarks in a limited time'),
    'benchmark inference': ('benchmark/inference.py', 'measure the speed of restoration'),
    'benchmark training': ('benchmark/train_step.py', 'measure the speed of training'),
    'benchmark data': ('benchmark/data_loading.py', 'measure the speed of data loading'),
    'benchmark blur': ('benchmark/blur_synthesis.py', 'measure the speed of blur synthesis'),
    'benchmark prior': ('benchmark/overhead.py', 'measure the cost of the prior'),
    'benchmark machine': ('benchmark/ceilings.py', 'measure the ceilings of the machine'),
    'benchmark run': ('benchmark/training_run.py', 'measure the speed of a whole training'),
    'doctor': ('doctor.py', 'examine the installation'),
}


def usage() -> str:
    """Return the help text with all commands."""
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {purpose}' for name, (_, purpose) in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: mmspd COMMAND [arguments]',
            '',
            'Remove severe blur from photos with a semantic prior.',
            '',
            'commands:',
            *lines,
            '',
            'mmspd COMMAND --help describes a command. mmspd --version prints the version.',
        ]
    )


def find_command(argv: List[str]) -> Tuple[str, List[str]]:
    """Split a command line into the command and its arguments.

    Args:
        argv: The arguments of ``mmspd``. They are not empty.

    Returns:
        The name of the command, and the other arguments.

    Raises:
        UsageError: There is no such command.
    """
    for words in (2, 1):
        name = ' '.join(argv[:words])
        if name in COMMANDS:
            return name, argv[words:]
    parts = [name for name in COMMANDS if name.startswith(f'{argv[0]} ')]
    if parts:
        raise UsageError(
            f'The command mmspd {argv[0]} has parts; use mmspd {" or mmspd ".join(parts)}.'
        )
    close = difflib.get_close_matches(argv[0], COMMANDS, n=1)
    hint = f'use mmspd {close[0]}' if close else 'run mmspd --help for the list'
    raise UsageError(f'There is no command {argv[0]!r}; {hint}.')


def run(argv: List[str]) -> Optional[int]:
    """Run a command.

    Args:
        argv: The arguments of ``mmspd``.

    Returns:
        The exit code, or ``None`` for success. A command ends the process itself.
    """
    if argv in (['--help'], ['-h'], []):
        print(usage())
        return None if argv else 2
    if argv == ['--version']:
        print(f'mmspd {__version__}')
        return None
    name, arguments = find_command(argv)
    _run_file(package_file('tools', COMMANDS[name][0]), [f'mmspd {name}', *arguments])
    return None


def _run_file(path: Path, argv: List[str]) -> None:
    """Run a file as ``python FILE`` does. The tools print ``argv[0]`` in their usage."""
    module = ModuleType('__main__')
    module.__file__ = str(path)  # worker processes import the functions of a tool from its file
    sys.modules['__main__'] = module
    sys.path.insert(0, str(path.parent))
    sys.argv = argv
    exec(compile(path.read_bytes(), str(path), 'exec'), vars(module))


def main() -> None:
    """Run the command of the process."""
    run_main(run)


if __name__ == '__main__':
    main()
