"""The tools around a device: the compiler of ``torch.compile``, and the link between processes."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List

import torch
from torch import distributed

from mmspd.doctor.report import Line

__all__ = ['compiler_lines', 'link_lines']

_PROGRAM = '#include <Python.h>\nint answer(void) { return 42; }\n'
_FIX = (
    'for model.compile and --compile, install a compiler and the headers of Python (Debian, '
    'Ubuntu: apt install g++ python3-dev)'
)
_C_COMPILERS = ['gcc', 'clang']  # in the order of Triton
_LIMIT = 60  # seconds


def compiler_lines(kind: str) -> List[Line]:
    """Check the compiler of ``torch.compile`` with a small program.

    On a CPU, PyTorch needs a C++ compiler; on other devices, it needs Triton and a C compiler.

    Args:
        kind: Type of the device.

    Returns:
        One line. Without a compiler, nothing but ``torch.compile`` is missing.
    """
    title = f'torch.compile on {kind}'
    needs, language, variable, candidates = '', 'c++', 'CXX', ['g++']
    if kind != 'cpu':
        if importlib.util.find_spec('triton') is None:
            fix, pip = 'for model.compile and --compile', (('install', 'triton'),)
            return [Line('-', title, 'Triton is not installed', fix, pip)]
        needs, language, variable, candidates = 'Triton is installed, and ', 'c', 'CC', _C_COMPILERS
    found = [*filter(shutil.which, candidates), *candidates][:1]
    command = shlex.split(os.environ.get(variable, '')) or found
    if shutil.which(command[0]) is None:
        return [Line('-', title, f'there is no compiler {command[0]}', _FIX)]
    fault = _fault(command, language)
    if fault:
        return [Line('-', title, f'{command[0]} cannot compile ({fault})', _FIX)]
    return [Line('ok', title, f'{needs}{command[0]} can compile')]


def _fault(command: List[str], language: str) -> str:
    """Compile a program, and return the first error of the compiler."""
    include = sysconfig.get_path('include')
    with TemporaryDirectory() as folder:
        output = str(Path(folder, 'program.so'))
        call = [*command, '-shared', '-fPIC', f'-I{include}', '-x', language, '-', '-o', output]
        done = subprocess.run(
            call, input=_PROGRAM, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    errors = [line.strip() for line in done.stderr.splitlines() if 'error' in line]
    return (errors or [f'exit code {done.returncode}'])[0] if done.returncode else ''


def link_lines(kind: str, devices: int) -> List[Line]:
    """Check the backend that links the processes of a training on several devices.

    The check sums a tensor in a process group of one process.

    Args:
        kind: Type of the devices.
        devices: Number of the devices. With several devices, a broken backend is a fault.

    Returns:
        One line.
    """
    if not distributed.is_available():
        return [Line('-', f'several processes on {kind}', 'PyTorch is built without them')]
    name = distributed.get_default_backend_for_device(kind)
    title = f'{name}, for several processes on {kind}'
    if not distributed.is_backend_available(name):
        return [Line('-', title, f'PyTorch is built without {name}')]
    try:
        total = _sum_in_group(name, kind)
    except (RuntimeError, ValueError, OSError) as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        fix = 'name a network interface in GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME, such as lo'
        return [Line('FAULT' if devices > 1 else '-', title, reason, fix)]
    if total != 2:
        raise ArithmeticError(f'{name} summed 2 to {total}.')
    return [Line('ok', title, 'a group of one process works')]


def _sum_in_group(backend: str, kind: str) -> float:
    """Sum a number over a process group of this process."""
    distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
    try:
        number = torch.full((1,), 2.0, device=kind)
        distributed.all_reduce(number)
        return number.item()
    finally:
        distributed.destroy_process_group()
