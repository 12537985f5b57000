"""Script: restore 2.8 megapixels under a memory budget, and print the memory that was used.

Arguments: the budget in MiB in addition to the memory in use, a device, and ``whole`` to restore
the image without tiles afterwards too.
"""

import json
import resource
import sys

import torch
from restorer_contract import guide

from mmspd.models.tiling import restore_images
from mmspd.models.tiling.memory import held_memory


def used(device):
    """Return the largest memory of this process so far, in bytes, by the name of the measure.

    The allocator keeps freed memory, so the memory that a GPU reports as used is the largest one.
    It includes the memory that libraries such as cuDNN take without the allocator.
    """
    if device.type == 'cpu':
        return dict(resident=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    free, total = torch.cuda.mem_get_info(device)
    return dict(allocated=torch.cuda.max_memory_allocated(device), reported=total - free)


def main(mib, name, *whole):
    device = torch.device(name)
    network = guide(dict(type='mmspd.UNet', base=4, num_res=1)).eval().to(device)
    image = torch.rand(1, 3, 1400, 2000)
    extra = 0
    if device.type == 'cuda':
        # the first images load kernels, which the budget does not include
        restore_images(network, image, memory_budget=held_memory(device) + 2**20 * int(mib))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        extra = used(device)['reported'] - held_memory(device)
    budget, tiles = held_memory(device) + 2**20 * int(mib), []
    restore_images(
        network, image, memory_budget=budget, progress=lambda *count: tiles.append(count)
    )
    report = dict(budget=budget, tiles=len(tiles), peaks=used(device))
    if whole:
        restore_images(network, image, tile=None)
        report['whole'] = used(device)
    for peaks in (report['peaks'], report.get('whole', {})):
        if 'reported' in peaks:
            peaks['reported'] -= extra
    print('result', json.dumps(report), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
