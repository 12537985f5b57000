"""An exported file runs on the device with ONNX Runtime."""

import pytest
import torch
from restorer_contract import guide, image, randomize

from mmspd.apis.export import export_network
from mmspd.models.guided import as_list

pytestmark = pytest.mark.cuda

#: TF32 is off, as in the other comparisons with float64.
PROVIDERS = {
    'cuda': ('CUDAExecutionProvider', dict(use_tf32='0')),
    'cpu': ('CPUExecutionProvider', {}),
}


def test_an_exported_network_gives_the_same_result(device, tmp_path):
    pytest.importorskip('onnxscript', reason='the ONNX export needs onnx and onnxscript')
    runtime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    provider, options = PROVIDERS[device.type]
    if provider not in runtime.get_available_providers():
        pytest.skip(f'the installed onnxruntime has no {provider}')
    network = randomize(guide(dict(type='mmspd.UNet', base=4, num_res=1))).eval()
    img, path = image(45, 70), tmp_path / 'network.onnx'
    export_network(network, path, {}, sizes=[(20, 31)])
    session = runtime.InferenceSession(path, providers=[(provider, options)])
    assert session.get_providers()[0] == provider  # without the GPU, the CPU would be used silently
    (restored,) = session.run(['restored'], {'blurry': img.numpy()})
    with torch.no_grad():
        want = as_list(network.double()(img.double()))[-1]
    difference = torch.from_numpy(restored).double() - want
    assert difference.norm() < 1e-4 * (want - img).norm()
