"""Weights files as authors publish them, for the small restorers of the tests."""

import torch
from restorer_contract import tested_restorers

from mmspd.registry import build_model
from mmspd.weights.published import families

FAMILIES = {family.type: family for family in families()}
SMALL = {kind: tested_restorers()[kind].restorer for kind in FAMILIES}
MIMO, MPRNET, NAFNET, DMPHN = 'mmspd.MIMOUNet', 'mmspd.MPRNet', 'mmagic.NAFNet', 'mmspd.DMPHN'
STAGE1 = {k: v for k, v in SMALL[MPRNET].items() if k not in ('orsnet_growth', 'num_cab')}
STAGE1['num_stages'] = 1


def network(kind, seed=0):
    torch.manual_seed(seed)
    return build_model(SMALL[kind]).eval()


def prefixed(state, prefix='module.'):
    return {prefix + key: value for key, value in state.items()}


def publish(kind, state, folder):
    """Save weights as the authors of the restorer do; returns the file or the folder."""
    folder.mkdir(exist_ok=True)
    for part in FAMILIES[kind].parts:
        own = {k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(part + '.')}
        # The oldest projects used a PyTorch that did not write zip archives.
        torch.save(own, folder / f'{part}.pkl', _use_new_zipfile_serialization=False)
    if FAMILIES[kind].parts:
        return folder
    torch.save(dict(epoch=3000, state_dict=prefixed(state)), folder / 'model.pth')
    return folder / 'model.pth'
