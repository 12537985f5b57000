import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from restorer_contract import randomize

from mmspd.apis.model import init_model

ROOT = Path(__file__).resolve().parents[2]

SMALL_GUIDED = """
model['generator'] = dict(
    type='mmspd.SemanticGuided', seams=['dec1'],
    restorer=dict(type='mmspd.UNet', base=4, num_res=1),
    prior=dict(
        type='mmspd.SPL', clc=None,
        extractor=dict(type='mmspd.ConvExtractor', width=4, strides=(8,), num_blocks=(1,))),
    embedding=dict(type='mmspd.SPE'))
"""


@pytest.mark.slow
def test_onnx_file_restores_without_mmspd(write_config, run_tool, tmp_path):
    config = write_config(SMALL_GUIDED)
    model = init_model(config)
    randomize(model.generator)
    weights = tmp_path / 'weights.pth'
    torch.save(model.state_dict(), weights)

    code, output = run_tool(
        'deployment/export.py', config, weights, tmp_path / 'network.onnx', '--sizes', '31x42',
        '33x17', '--opset', '18', '--time', '16x24',
    )  # fmt: skip
    assert code == 0, output
    assert re.search(r'^33x17: the export differs .* by at most \d\.\de-0[5-9]', output, re.M)
    assert re.search(r'16x24 on 1 CPU threads: the network takes .* s, the export .* s', output)

    network = onnx.load(tmp_path / 'network.onnx')
    about = {entry.key: entry.value for entry in network.metadata_props}
    assert about['weights_sha256'] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert json.loads(about['generator'])['type'] == 'mmspd.SemanticGuided'
    assert next(entry.version for entry in network.opset_import if not entry.domain) == 18
    axes = [axis.dim_param for axis in network.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ['N', '', 'H', 'W']

    pixels = np.random.default_rng(0).integers(0, 256, (27, 38, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'blurry.png')
    page = (ROOT / 'docs' / 'export.md').read_text()
    lines = page.partition('```python\n')[2].partition('```')[0]
    lines = lines.replace('my_photos/street.jpg', 'blurry.png')  # JPEG would lose precision
    subprocess.run([sys.executable, '-I', '-c', lines], cwd=tmp_path, check=True)
    with torch.no_grad():
        blurry = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
        expected = model.generator(blurry)[-1][0].clamp(0, 1).permute(1, 2, 0).numpy()
    restored = np.asarray(Image.open(tmp_path / 'restored.png')) / 255
    assert np.abs(restored - expected).max() < 0.51 / 255
