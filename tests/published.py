"""Made weights files in the layout of every official project, in small sizes."""

import torch

from mmspd.registry import build_model

#: A small restorer by its name for the converter, and how its authors wrap and name the weights.
SMALL = {
    'mimounet': dict(type='mmspd.MIMOUNet', base=8, num_res=1),
    'mimounetplus': dict(type='mmspd.MIMOUNet', base=4, num_res=20, dropout=0.1),
    'mprnet': dict(type='mmspd.MPRNet', base=8, growth=4, reduction=4, orsnet_growth=4, num_cab=2),
    'mssnet': dict(type='mmspd.MSSNet', base=4, growth=2, coarse_growth=3, num_unets=(1, 1, 2)),
    'deepdeblur': dict(type='mmspd.DeepDeblur', base=4, num_res=2),
    'dmphn': dict(type='mmspd.DMPHN', base=4),
    'nafnet': dict(
        type='mmagic.NAFNet',
        img_channels=3,
        mid_channels=4,
        enc_blk_nums=[1, 2, 1, 3],
        middle_blk_num=2,
        dec_blk_nums=[1, 1, 2, 1],
    ),
    'restormer': dict(
        type='mmagic.Restormer',
        inp_channels=3,
        dim=8,
        num_blocks=[1, 2, 1, 1],
        num_refinement_blocks=2,
        heads=[1, 2, 4, 8],
        bias=False,
        LayerNorm_type='WithBias',
        dual_pixel_task=False,
    ),
}


def network(name, seed=0):
    torch.manual_seed(seed)
    return build_model(SMALL[name]).eval()


def prefixed(state, prefix='module.'):
    return {prefix + key: value for key, value in state.items()}


def wrapped(name, state):
    """The checkpoint as the authors save it."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    history = dict(epoch=3000, optimizer=optimizer.state_dict())
    if name == 'mprnet':
        return dict(history, state_dict=prefixed(state))
    if name == 'mssnet':
        step = dict(epoch=3000, all_step=1, optimizer_state_dict=optimizer.state_dict())
        return dict(step, model_state_dict=prefixed(state))
    if name == 'deepdeblur':
        return dict(G=state, D={'features.0.weight': torch.ones(1)})
    if name in ('nafnet', 'restormer'):
        return dict(params=state)
    return dict(history, model=state)


def publish(name, state, folder):
    """Save made weights as the authors would; returns the file, for DMPHN the folder."""
    folder.mkdir(exist_ok=True)
    if name != 'dmphn':
        path = folder / ('model.pkl' if name.startswith('mimo') else 'model.pth')
        # the oldest projects used a PyTorch whose files were no zip archives yet
        torch.save(
            wrapped(name, state), path, _use_new_zipfile_serialization=not name.startswith('mimo')
        )
        return path
    for part in {key.partition('.')[0] for key in state}:
        own = {k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(part + '.')}
        torch.save(own, folder / f'{part}.pkl', _use_new_zipfile_serialization=False)
    return folder
