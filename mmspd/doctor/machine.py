"""Check the devices with a training step of a tiny restorer, and the caches of downloads."""

import os
from pathlib import Path
from typing import List

from mmspd.doctor.report import Line, looked_at

__all__ = ['cache_lines', 'device_lines']


def device_lines(advise: bool = True) -> List[Line]:
    """Describe the processor and the accelerators, and train one step on each kind.

    Args:
        advise: Whether to advise a precision for the device that trains.

    Returns:
        The lines of the devices, of their abilities and of the training steps.
    """
    import torch
    from mmengine.device import get_device

    from mmspd.doctor.abilities import ability_lines
    from mmspd.doctor.toolchain import compiler_lines, link_lines

    kinds = dict.fromkeys(['cpu', get_device()])
    lines, last = [], [*kinds][-1]
    for kind in kinds:
        own = _processor() if kind == 'cpu' else _accelerators(kind)
        for number, line in enumerate(own):
            device = torch.device(line.name)
            lines += [line, *ability_lines(device, advise and kind == last and number == 0)]
        lines += looked_at(f'torch.compile on {kind}', '', compiler_lines, kind, state='-')
        lines += looked_at(f'processes on {kind}', '', link_lines, kind, len(own), state='-')
    for kind in kinds:
        fix = 'correct the faults above'
        if kind != 'cpu':
            fix = f'check the driver, and install the build of PyTorch {torch.__version__} for it'
        lines += looked_at(f'training step on {kind}', fix, _train_one_step, kind)
    return lines


def _processor() -> List[Line]:
    import torch

    from mmspd.utils.device import describe_machine

    machine = describe_machine(torch.device('cpu'))
    threads = f'{machine["cores"]} cores, {machine["threads"]} threads'
    return [Line('ok', 'cpu', f'{machine["processor"]}, {threads}')]


def _accelerators(kind: str) -> List[Line]:
    import torch

    from mmspd.doctor.abilities import capability_of

    backend = getattr(torch, kind)
    if not hasattr(backend, 'get_device_properties'):
        return [Line('ok', kind, 'PyTorch has no properties of it')]
    lines = []
    for index in range(backend.device_count()):
        properties = backend.get_device_properties(index)
        found = [properties.name, f'{properties.total_memory / 2**30:.1f} GiB']
        capability = capability_of(torch.device(kind, index))
        if capability is not None:
            found.append(f'compute capability {capability[0]}.{capability[1]}')
        lines.append(Line('ok', f'{kind}:{index}', ', '.join(found)))
    return lines


def _train_one_step(kind: str) -> List[Line]:
    """Run a forward and a backward pass, which need most of mmspd."""
    import torch

    from mmspd.registry import MODELS

    restorer = MODELS.build(dict(type='mmspd.UNet', base=4, num_res=1)).to(kind)
    blurry = torch.linspace(0, 1, 3 * 32 * 48, device=kind).reshape(1, 3, 32, 48)
    loss = (restorer(blurry)[-1] - blurry.flip(-1)).abs().mean()
    loss.backward()
    gradients = [weight.grad for weight in restorer.parameters()]
    if any(gradient is None or not gradient.isfinite().all() for gradient in gradients):
        raise ArithmeticError('A gradient is missing or not finite.')
    return [Line('ok', f'training step on {kind}', f'loss {loss.item():.4f}')]


def cache_lines() -> List[Line]:
    """List the folders of downloaded files with their sizes."""
    from mmspd.weights.download import cache_folder

    home = os.environ.get('HF_HOME', Path.home() / '.cache' / 'huggingface')
    return [
        _folder('downloaded weights', cache_folder()),
        _folder('Hugging Face, used by timm', Path(home)),
    ]


def _folder(name: str, folder: Path) -> Line:
    if not folder.is_dir():
        return Line('-', name, f"'{folder}' does not exist yet")
    files = [path for path in folder.rglob('*') if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files) / 2**30
    state = 'ok' if os.access(folder, os.W_OK) else 'FAULT'
    fix = '' if state == 'ok' else 'it is read-only: change its permissions'
    return Line(state, name, f"'{folder}', {len(files)} files, {size:.1f} GiB", fix)
