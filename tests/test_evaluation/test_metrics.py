import numpy as np
import pytest
import torch
from samples import as_bgr, evaluate, mmengine_log, noisy_pair, sample
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mmspd.errors import UserError
from mmspd.evaluation import PSNR, SSIM, ImageMetric, MetricInfo, PixelDifference
from mmspd.evaluation.metrics import psnr, ssim_2d, ssim_matlab
from mmspd.evaluation.provenance import rounding_of
from mmspd.registry import METRICS


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('sigma', [0.5, 20, 90])
def test_functions_equal_scikit_image(seed, sigma):
    first, second = noisy_pair(seed, sigma=sigma)
    reference = structural_similarity(
        first,
        second,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )
    assert ssim_2d(first, second) == pytest.approx(reference, abs=1e-9)
    reference = peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr(first, second) == pytest.approx(reference, abs=1e-9)


def ssim_of_a_volume(first, second):
    """Implement MATLAB's definition directly: a 3-D window that is not separated, float64."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.einsum('i,j,k->ijk', taps, taps, taps)
    window /= window.sum()

    def mean(volume):
        return ndimage.convolve(volume, window, mode='nearest')  # 'replicate' in MATLAB

    x, y = first.astype(float), second.astype(float)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x**2) - mx**2, mean(y**2) - my**2, mean(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    return np.mean((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('sigma', [0.5, 20, 90])
def test_matlabs_ssim_equals_the_ssim_of_a_volume(seed, sigma):
    first, second = noisy_pair(seed, size=(19, 24), sigma=sigma)
    assert ssim_matlab(first, second) == pytest.approx(ssim_of_a_volume(first, second), abs=1e-9)
    assert ssim_matlab(first, second) > ssim_2d(first, second)


@pytest.mark.parametrize('ssim', [ssim_2d, ssim_matlab])
def test_smallest_image_of_ssim(ssim):
    first, second = noisy_pair(0, size=(11, 11))
    assert ssim(first, first) == pytest.approx(1)
    with pytest.raises(UserError, match='at least 11x11 pixels, not 11x10'):
        ssim(first[:10], second[:10])


def test_conventions_of_ssim_are_chosen_by_name():
    gt, pred = noisy_pair(0)
    means = evaluate(SSIM(mode='matlab'), [sample(pred, gt)])
    assert means == {'SSIM-matlab': pytest.approx(ssim_matlab(pred, gt))}
    with pytest.raises(UserError, match="mode='3d' is unknown; use one of 2d, matlab"):
        SSIM(mode='3d')


def test_means_are_per_image():
    pairs = [noisy_pair(seed, sigma=sigma) for seed, sigma in ((0, 5), (1, 60))]
    samples = [sample(second, first) for first, second in pairs]
    mean = np.mean([psnr(*pair) for pair in pairs])
    assert evaluate(PSNR(), samples) == {'PSNR': pytest.approx(mean)}
    mean = np.mean([ssim_2d(*pair) for pair in pairs])
    assert evaluate(SSIM(), samples) == {'SSIM-2d': pytest.approx(mean)}


def test_predictions_are_clamped_and_rounded():
    gt = np.full((12, 12, 3), 100, np.uint8)
    gt[0] = 255
    pred = as_bgr(gt) + 0.49
    pred[:, 1, :] = 99.6
    pred[:, 2, 0] = 101.7  # rounds to 102, so 3 values are wrong by 2
    means = evaluate(PSNR(), [dict(gt_img=as_bgr(gt), output=dict(pred_img=pred))])
    assert means['PSNR'] == pytest.approx(10 * np.log10(255**2 / (3 * 4 / gt.size)))
    pred[:, 2, 0] = -30.0
    means = evaluate(PSNR(), [dict(gt_img=as_bgr(gt), output=dict(pred_img=pred))])
    assert means['PSNR'] == pytest.approx(10 * np.log10(255**2 / (3 * 100**2 / gt.size)))


@pytest.mark.parametrize(
    ('rounding', 'expected'), [('nearest', [0, 0, 1, 255, 255]), ('truncate', [0, 0, 0, 254, 255])]
)
def test_predictions_are_rounded_or_truncated(rounding, expected):
    values = torch.tensor([-0.1, 0.0, 0.9 / 255, 0.9999, 1.2]) * 255
    item = {name: values.expand(3, 1, 5) for name in ('gt_img', 'input', 'pred_img')}
    metric = PSNR(rounding=rounding)
    for channel in metric.image(item, 'pred_img').transpose(2, 0, 1):
        assert channel.tolist() == [expected]
    for name in ('gt_img', 'input'):  # these images have whole numbers, up to rounding
        assert metric.image(item, name)[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize('kind', ['PSNR', 'SSIM', 'LPIPS', 'RealBlurAligned', 'BlurSeverity'])
def test_every_metric_can_truncate(kind):
    assert METRICS.build(dict(type=f'mmspd.{kind}', rounding='truncate')).rounding == 'truncate'
    with pytest.raises(UserError, match=f"{kind} rounding='up' is unknown; use one of nearest, tr"):
        METRICS.build(dict(type=f'mmspd.{kind}', rounding='up'))


def test_the_metrics_of_a_test_round_alike():
    assert rounding_of([]) == rounding_of([PSNR(), SSIM()]) == 'nearest'
    assert rounding_of([PSNR(rounding='truncate'), object()]) == 'truncate'
    with pytest.raises(UserError, match=r'rounding \(PSNR: truncate, SSIM: nearest\); use one'):
        rounding_of([PSNR(rounding='truncate'), SSIM()])


def test_images_are_compared_value_by_value():
    first = np.full((2, 5, 3), 100, np.uint8)
    second, third = first.copy(), first.copy()
    second[0, :3, 0] = (101, 97, 255)
    samples = [sample(second, first), sample(third, first)]
    means = evaluate(PixelDifference(), samples)
    assert means == {'largest-difference': 155, 'equal-values': pytest.approx((0.9 + 1) / 2)}


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.uint8])
def test_any_real_type_is_accepted(dtype):
    gt = np.full((12, 12, 3), 128, np.uint8)
    pred = np.full((12, 12, 3), 136, np.uint8)
    item = dict(gt_img=as_bgr(gt).to(dtype), output=dict(pred_img=as_bgr(pred).to(dtype)))
    assert evaluate(PSNR(), [item])['PSNR'] == pytest.approx(10 * np.log10(255**2 / 64))


def test_pure_red_stays_red():
    red = np.zeros((12, 12, 3), np.uint8)
    red[..., 0] = 255
    item = sample(red, red)
    assert item['gt_img'][:, 0, 0].tolist() == [0, 0, 255]  # BGR
    item['gt_channel_order'] = 'rgb'  # the metadata of MMagic are wrong
    np.testing.assert_array_equal(PSNR().image(item, 'gt_img'), red)
    np.testing.assert_array_equal(PSNR().image(item, 'pred_img'), red)


def test_input_and_gain():
    gt, blur = noisy_pair(0, sigma=40)
    _, pred = noisy_pair(0, sigma=10)
    means = evaluate(PSNR(report_input=True), [sample(pred, gt, blur)])
    assert means['PSNR-input'] == pytest.approx(psnr(blur, gt))
    assert means['PSNR-gain'] == pytest.approx(psnr(pred, gt) - psnr(blur, gt))
    assert means['PSNR-gain'] > 3


def test_identical_images_are_excluded_from_the_mean(caplog):
    gt, pred = noisy_pair(0)
    samples = [sample(gt, gt, gt), sample(pred, gt, pred), sample(gt, gt, pred)]
    with mmengine_log(caplog):
        means = evaluate(PSNR(report_input=True), samples)
    assert means['PSNR'] == pytest.approx(psnr(pred, gt))
    assert means['PSNR-input'] == pytest.approx(psnr(pred, gt))
    assert means['PSNR-gain'] == 0
    assert means['PSNR-identical'] == 2
    assert '2 of 3 images equal their sharp image exactly' in caplog.text
    assert evaluate(PSNR(), [sample(gt, gt)])['PSNR'] == float('inf')


def test_prefix_and_names():
    gt, pred = noisy_pair(0)
    metric = METRICS.build(dict(type='mmspd.PSNR', prefix='hide'))
    assert list(evaluate(metric, [sample(pred, gt)])) == ['hide/PSNR']


def test_errors():
    gt, pred = noisy_pair(0)
    with pytest.raises(UserError, match=r"no image 'input' \(it has gt_img, output, pred_img"):
        PSNR(report_input=True).process(None, [sample(pred, gt)])
    with pytest.raises(UserError, match="'pred_img' is 53x36 pixels, but the sharp image is 53x37"):
        SSIM().process(None, [sample(pred[1:], gt)])
    broken = sample(pred, gt)
    broken['output']['pred_img'][0, 0, 0] = float('nan')
    with pytest.raises(UserError, match='predicted NaN'):
        PSNR().process(None, [broken])


def test_a_metric_describes_its_values():
    class Contrast(ImageMetric):
        def measure(self, sample):
            return {'contrast': float(np.std(self.image(sample, 'pred_img'))), 'note': 'gray'}

    _, image = noisy_pair(0)
    with pytest.raises(UserError, match=r"Contrast.info lacks 'contrast'.* MetricInfo\(higher"):
        Contrast().process(None, [sample(image)])
    Contrast.info = {'contrast': MetricInfo(higher_is_better=True, digits=1)}
    metric = Contrast()
    metric.process(None, [sample(image, key='a')])
    assert metric.results == [{'key': 'a', 'contrast': np.std(image), 'note': 'gray'}]
    assert metric.info['contrast'].text(2.345) == '2.3'
    assert metric.info['contrast'].text(2.345, '+') == '+2.3'
