import pytest
import torch
import torch.nn.functional as F

from mmspd.models.layers.image_statistics import ImageInstanceNorm2d, InstanceNorm2d


@pytest.mark.parametrize('number', [1, 2])
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('layer', [InstanceNorm2d, ImageInstanceNorm2d])
def test_gradients_in_the_channels_last_format(layer, training, number):
    """For one image, those of PyTorch's InstanceNorm2d are wrong on the CPU."""
    norm = layer(8, affine=True).train(training)
    torch.manual_seed(0)
    img, factor = torch.randn(2, number, 8, 5, 6).double()
    want = img.clone().requires_grad_()
    (F.instance_norm(want) * factor).sum().backward()
    img = img.float().contiguous(memory_format=torch.channels_last).requires_grad_()
    out = norm(img)
    out.backward(factor.float().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, F.instance_norm(img))
    torch.testing.assert_close(img.grad, want.grad.float(), rtol=1e-4, atol=1e-5)
