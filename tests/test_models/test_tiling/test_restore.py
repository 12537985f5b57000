"""restore_images: results equal the untiled run, all tiles share one prior, errors are clear."""

import gc
import weakref

import pytest
import torch
from restorer_contract import guide, image, randomize
from torch import nn

from mmspd.errors import UserError
from mmspd.models.guided import as_list
from mmspd.models.layers.padding import pad_to
from mmspd.models.tiling import TileNetwork, restore_images
from mmspd.models.tiling.orientation import ORIENTATIONS
from mmspd.models.tiling.plan import choose_tiles
from mmspd.registry import build_model

UNET = dict(type='mmspd.UNet', base=4, num_res=1)
NAFNET = dict(
    type='mmagic.NAFNet',
    img_channels=3,
    mid_channels=4,
    enc_blk_nums=[1, 1],
    middle_blk_num=1,
    dec_blk_nums=[1, 1],
)
SEGMAP = dict(
    type='mmspd.SegmapSPL',
    num_classes=5,
    extractor=dict(type='mmspd.ConvExtractor', width=8, num_blocks=(1, 1, 1)),
)


def build(kind):
    torch.manual_seed(0)
    return randomize(
        {
            'unet': lambda: build_model(UNET),
            'mimo': lambda: build_model(dict(type='mmspd.MIMOUNet', base=4, num_res=1)),
            'nafnet': lambda: build_model(NAFNET),
            'guided unet': lambda: guide(UNET),
            'guided by a map': lambda: guide(UNET, prior=SEGMAP),
            'guided nafnet': lambda: guide(NAFNET, seams=['decoders.0', 'decoders.1']),
        }[kind]()
    ).eval()


@torch.no_grad()
def untiled(network, img):
    return as_list(network(img))[-1]


def smooth(height, width):
    """Make a photo-like image: blurred noise."""
    return nn.functional.interpolate(
        image(-(-height // 8), -(-width // 8)), size=(height, width), mode='bicubic'
    ).clamp(0, 1)


@pytest.mark.parametrize('kind', ['unet', 'nafnet', 'guided unet'])
def test_whole_image_equals_the_network(kind):
    network = build(kind)
    for size in ((37, 53), (1, 1), (1, 70)):
        img = image(*size)
        want = untiled(network, img)
        for tile in ('auto', 0, 512):
            assert torch.equal(restore_images(network, img, tile=tile), want)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'decibel'),
    [
        ('unet', 60),
        ('mimo', 60),
        ('guided unet', 60),
        ('guided by a map', 60),
        ('guided nafnet', 50),  # its channel attention averages over the tile
    ],
)
def test_tiles_equal_the_untiled_run(kind, decibel):
    network, img = build(kind), smooth(205, 331)
    result = restore_images(network, img, tile=128, overlap=48)
    error = (result - untiled(network, img)).square().mean()
    assert -10 * error.log10() > decibel
    seams = (
        (restore_images(network, img, tile=128, overlap=0) - untiled(network, img)).square().mean()
    )
    assert error < seams / 10


def seen_priors(network, img, monkeypatch, **kwargs):
    """Restore by tiles; return the result, the number of priors, and the restorer's inputs."""
    computed, shown = [], []
    compute, use = network.compute_prior, network.restore_with_prior
    monkeypatch.setattr(network, 'compute_prior', lambda x: computed.append(x) or compute(x))
    monkeypatch.setattr(
        network, 'restore_with_prior', lambda x, p: shown.append((x, p)) or use(x, p)
    )
    result = restore_images(network, img, tile=128, overlap=32, **kwargs)
    monkeypatch.undo()
    on_device = [x for x in computed if x.device.type == 'cpu']
    return result, len(on_device), [(x, p) for x, p in shown if x.device.type == 'cpu']


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['guided unet', 'guided by a map'])
def test_all_tiles_see_the_one_prior_of_the_image(kind, monkeypatch):
    network, img = build(kind), smooth(205, 331)
    want, count, tiles = seen_priors(network, img, monkeypatch)
    assert (count, len(tiles)) == (1, 8)
    with torch.no_grad():
        whole = network.compute_prior(img)
    fine, coarse = tiles[-1][1][0], tiles[-1][1][-1]  # the bottom right tile
    assert torch.equal(fine, whole[0][..., -fine.shape[-2] :, -fine.shape[-1] :])
    assert torch.equal(coarse, whole[-1][..., -coarse.shape[-2] :, -coarse.shape[-1] :])

    # if the prior of the whole image exceeds the memory, each tile computes the same prior
    monkeypatch.setattr(TileNetwork, 'prior_size', lambda self, *size: 2**60)
    result, count, tiles = seen_priors(network, img, monkeypatch)
    assert (count, len(tiles)) == (8, 8)
    torch.testing.assert_close(result, want, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['nafnet', 'guided unet'])
def test_self_ensemble_averages_all_orientations(kind):
    network, img = build(kind), smooth(150, 201)
    views = [one.undo(untiled(network, one.apply(img))) for one in ORIENTATIONS]
    want = torch.stack(views).mean(0)
    result = restore_images(network, img, tile=0, self_ensemble=True)
    torch.testing.assert_close(result, want, atol=1e-6, rtol=0)
    tiled = restore_images(network, img, tile=128, overlap=48, self_ensemble=True)
    assert (tiled - want).square().mean() < 1e-5


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_reduced_precision(precision):
    network, img = build('guided unet'), smooth(40, 72)
    result = restore_images(network, img, precision=precision)
    assert result.dtype == torch.float32
    assert 0 < (result - untiled(network, img)).abs().max() < 0.1


@pytest.mark.parametrize('kind', ['unet', 'mimo', 'guided unet'])
def test_the_last_sum_is_in_float32(kind):
    """If the last layer returns zeros, the network returns the image, not rounded to bfloat16."""
    network, img = build(kind), image(37, 53)
    restorer = getattr(network, 'restorer', network)
    last = restorer.feat_extract[5].main[0] if kind == 'mimo' else restorer.ending
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    assert torch.equal(restore_images(network, img, precision='bfloat16'), img)


@pytest.mark.parametrize('kind', ['unet', 'guided unet'])
def test_tiles_at_a_time_equal_one_by_one(kind, monkeypatch):
    network, img = build(kind), smooth(205, 331)
    counts = []
    restorer = getattr(network, 'restorer', network)
    restorer.register_forward_pre_hook(
        lambda _, args: args[0].is_meta or counts.append(len(args[0]))
    )
    how = dict(tile=128, overlap=32)
    want = restore_images(network, img, **how)
    assert counts == [1] * 8
    counts.clear()
    reported = []
    result = restore_images(
        network, img, **how, batch=3, progress=lambda *count: reported.append(count)
    )
    torch.testing.assert_close(result, want, atol=1e-5, rtol=0)
    assert counts == [3, 1, 3, 1]  # the tiles of the bottom row are smaller
    assert reported == [(done, 8) for done in range(1, 9)]
    if kind == 'guided unet':  # tiles with their own prior are restored one by one
        monkeypatch.setattr(TileNetwork, 'prior_size', lambda self, *size: 2**60)
        counts.clear()
        result = restore_images(network, img, **how, batch=3)
        torch.testing.assert_close(result, want, atol=1e-5, rtol=0)
        assert counts == [1] * 8


def test_tiles_at_a_time_count_in_the_plan():
    net, size = TileNetwork(build('unet')), (3000, 3000)
    free = 2 * net.cost(size, (768, 768), False)
    alone, pairs = (choose_tiles(net, size, 'auto', 64, free, batch).tile for batch in (1, 2))
    assert max(pairs) <= 768 < min(alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'sizes'),
    [
        ('unet', ((128, 128), (205, 331), (97, 150))),
        ('guided unet', ((128, 128), (208, 328), (97, 152))),
    ],
)
def test_one_program_restores_tiles_of_all_images(kind, sizes, monkeypatch):
    programs = []

    def backend(graph, inputs):
        programs.append(graph)
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(
        torch, 'compile', lambda run, **_: real(run, dynamic=False, backend=backend)
    )
    network = build(kind)
    net = TileNetwork(network, compiled=True)
    for size in sizes:
        img = smooth(*size)
        # an image smaller than a tile is padded by reflection
        padded = pad_to(img, max(size[0], 128), max(size[1], 128))
        result = restore_images(net, img, tile=128, overlap=48)
        want = untiled(network, padded)[..., : size[0], : size[1]]
        assert result.shape == img.shape
        assert -10 * (result - want).square().mean().log10() > 60
    restore_images(net, smooth(90, 180), tile=128, overlap=48, self_ensemble=True)
    assert len(programs) == 1
    whole = smooth(64, 96)
    torch.testing.assert_close(restore_images(net, whole, tile=0), untiled(network, whole))
    assert len(programs) == 2


@pytest.mark.slow
@pytest.mark.parametrize('restorer', ['SRN', 'PSSNSC'])
def test_tiles_of_a_restorer_of_color_planes(restorer):
    """The batch of the restorer is three times the batch of the prior, also for several tiles."""
    torch.manual_seed(0)
    network = randomize(guide(dict(type=f'mmspd.{restorer}', base=2, num_res=1))).eval()
    img = image(96, 128)
    one_by_one, together = (
        restore_images(network, img, tile=64, overlap=32, batch=batch) for batch in (1, 4)
    )
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)
    restored = restore_images(network, torch.cat([img, 1 - img]))
    torch.testing.assert_close(restored[:1], untiled(network, img), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('guided', [False, True])
def test_a_compiled_network_pads_like_its_restorer(guided, monkeypatch):
    monkeypatch.setattr(torch, 'compile', lambda run, **_: run)
    restorer = dict(type='mmspd.SRN', base=2, num_res=1)
    network = (guide(restorer) if guided else build_model(restorer)).eval()
    img = image(35, 45)
    compiled = restore_images(TileNetwork(network, compiled=True), img)
    torch.testing.assert_close(compiled, untiled(network, img))


def test_a_restorer_that_rejects_odd_sizes_gets_even_ones():
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(12, 12, 1)

        def forward(self, img):
            return nn.functional.pixel_shuffle(self.body(nn.functional.pixel_unshuffle(img, 2)), 2)

    network, img = Strict(), image(131, 203)
    result = restore_images(network, img, tile=128, overlap=0)
    want = untiled(network, img[..., :130, :202])
    torch.testing.assert_close(result[..., :130, :202], want, atol=1e-6, rtol=0)
    guided = randomize(guide(Strict(), seams=['body'])).eval()
    assert restore_images(guided, img, tile=64).shape == img.shape


def test_a_restorer_that_rejects_tiny_images_gets_larger_ones():
    class Reflecting(nn.Conv2d):
        def forward(self, img):
            padding = [-side % 8 for side in img.shape[-2:]]
            padded = nn.functional.pad(img, (0, padding[1], 0, padding[0]), mode='reflect')
            return super().forward(padded)[..., : img.shape[-2], : img.shape[-1]]

    network = Reflecting(3, 3, 1)
    assert restore_images(network, image(1, 9)).shape == (1, 3, 1, 9)
    img = image(35, 45)
    torch.testing.assert_close(restore_images(network, img), untiled(network, img))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            dict(precision='int8'),
            "precision='int8' is unknown; use float32, tf32, bfloat16, float16",
        ),
        (dict(tile='small'), "tile='small' is invalid; use 'auto', 0 .* at least 8 pixels"),
        (dict(tile=-64), 'tile=-64 is invalid'),
        (dict(tile=64, overlap=40), 'overlap=40 is invalid; use 0 to 32 pixels'),
        (dict(overlap=-1), 'overlap=-1 is invalid'),
        (dict(batch=0), 'batch=0 is invalid; use 1 or more'),
        (dict(memory_budget=10**6), r'tiles \(384 pixels\) need \d+ MiB more memory'),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        restore_images(build('unet'), torch.zeros(1, 3, 600, 600), **arguments)


def test_an_accelerator_without_memory_ends_in_one_sentence():
    class Full(nn.Conv2d):
        def forward(self, img):
            raise torch.cuda.OutOfMemoryError('Tried to allocate 2 GiB')

    with pytest.raises(UserError, match='ran out of memory; set a smaller tile'):
        restore_images(Full(3, 3, 1), torch.zeros(1, 3, 8, 8), tile=0)


@pytest.mark.slow
def test_a_batch_is_restored_like_its_images():
    network, images = build('guided unet'), torch.cat([smooth(70, 90), 1 - smooth(70, 90)])
    assert torch.equal(restore_images(network, images, tile=None), untiled(network, images))
    for how in (dict(tile=64), dict(tile='auto'), dict(tile=None, self_ensemble=True)):
        one_by_one = [restore_images(network, image, **how) for image in images.split(1)]
        result = restore_images(network, images, **how)
        torch.testing.assert_close(result, torch.cat(one_by_one), atol=1e-6, rtol=0)
    with pytest.raises(UserError, match=r'got a tensor of shape \(3, 8, 8\); pass images of shape'):
        restore_images(network, torch.zeros(3, 8, 8))


@pytest.mark.slow
def test_the_cache_does_not_keep_a_network_alive():
    network = build('unet')
    restore_images(network, image(32, 32))
    alive = weakref.ref(network)
    del network
    gc.collect()
    assert alive() is None


@pytest.mark.slow
def test_memory_stays_within_the_budget(restore_large):
    """Without tiles, the image would need more than twice the memory. It runs in a new process."""
    report = restore_large('300', 'cpu')
    assert report['peaks']['resident'] < report['budget']
    assert report['tiles'] > 1
