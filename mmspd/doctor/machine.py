"""Check the devices with a training step of a tiny restorer, and the caches of downloads."""

import os
from pathlib import Path
from typing import List

from mmspd.doctor.report import Line, looked_at

__all__ = ['cache_lines', 'device_lines']


def device_lines() -> List[Line]:
    """Describe the processor and the accelerators, and train one step on each kind."""
    import torch
    from mmengine.device import get_device

    kinds = dict.fromkeys(['cpu', get_device()])
    lines = [*_processor(), *(line for kind in kinds for line in _accelerators(kind))]
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

    backend = getattr(torch, kind)
    if kind == 'cpu' or not hasattr(backend, 'get_device_properties'):
        return []
    lines = []
    for index in range(backend.device_count()):
        properties = backend.get_device_properties(index)
        memory = f'{properties.total_memory / 2**30:.1f} GiB'
        lines.append(Line('ok', f'{kind}:{index}', f'{properties.name}, {memory}'))
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
