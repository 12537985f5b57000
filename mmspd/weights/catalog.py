"""The weights that the authors of restorers published, by name. To add weights, add an entry.

An unknown size, SHA-256, license or score is ``None`` or left out, never guessed. If the authors
publish no SHA-256, it comes from at least two users who published the same digits.
"""

from typing import Dict, NamedTuple, Optional, Tuple

__all__ = ['CATALOG', 'File', 'Score', 'Weights', 'describe_weights']


class File(NamedTuple):
    """A published file.

    Attributes:
        url: Address of the file itself, from which a program can download it; ``None`` if a person
            must download it from :attr:`Weights.page`.
        size: Size in bytes.
        sha256: SHA-256 of the content.
    """

    url: Optional[str] = None
    size: Optional[int] = None
    sha256: Optional[str] = None


class Score(NamedTuple):
    """A published result.

    Attributes:
        dataset: The test set.
        psnr: Mean PSNR in dB.
        ssim: Mean SSIM.
        ssim_kind: ``'3-D'`` for MATLAB's SSIM, ``'2-D'`` for the mean of the SSIM of each channel,
            ``'CW'`` for the complex wavelet SSIM of gray images. The values of different kinds are
            not comparable.
        protocol: Protocol of mmspd that measures like the publisher.
    """

    dataset: str
    psnr: float
    ssim: Optional[float] = None
    ssim_kind: Optional[str] = None
    protocol: str = 'gopro'


class Weights(NamedTuple):
    """Published weights of a restorer.

    Attributes:
        name: Name of the weights. The weights ``'official'`` of a recipe are those whose name is
            the name of the recipe.
        recipe: Name of the config that builds the restorer.
        page: Page with the link to the file, or the link itself.
        license: License of the weights; ``None`` if the authors state none.
        data: Data on which the restorer was trained.
        files: The file, or the parts of weights that are published as several files.
        scores: Published results.
        note: Anything that a user must know, in one sentence.
    """

    name: str
    recipe: str
    page: str
    license: Optional[str]
    data: str
    files: Tuple[File, ...] = (File(),)
    scores: Tuple[Score, ...] = ()
    note: str = ''


_DMPHN = (
    'https://raw.githubusercontent.com/HongguangZhang/DMPHN-cvpr19-master/'
    '64af480d958e550625ea24678066dba09d1b4d3e/checkpoints/DMPHN_1_2_4/'
)
_DEBLURGANV2 = (
    'https://download.openxlab.org.cn/models/xiaomile/DeblurGANv2/weight/DeblurGANv2_fpn-'
)

CATALOG: Tuple[Weights, ...] = (
    Weights(
        name='deepdeblur_gopro',
        recipe='deepdeblur_gopro',
        page='https://drive.google.com/file/d/1AfZhyUXEA8_UdZco9EdtpWjTBAb8BbWv/view',
        license='MIT',
        data='GoPro, blur_gamma',
        scores=(Score('GoPro, blur_gamma', 30.40, 0.9018, '2-D'),),
        note='The archive GOPRO_L1 contains the file; it was trained on blur_gamma, but the recipe '
        'uses blur.',
    ),
    Weights(
        name='deblurganv2_gopro',
        recipe='deblurganv2_gopro',
        page='https://drive.google.com/uc?export=view&id=1UXcsRVW-6KF23_TNzxw-xC0SzaMfXOaR',
        license='BSD',
        data='GoPro, DVD and NFS',
        scores=(Score('GoPro', 29.55, 0.934, 'CW', 'gopro-truncated'),),
        note='The file fpn_inception.h5 is a PyTorch file; users measured 27.66 dB with it.',
    ),
    Weights(
        name='deblurganv2-mobilenet_gopro',
        recipe='deblurganv2-mobilenet_gopro',
        page='https://drive.google.com/uc?export=view&id=1JhnT4BBeKBBSLqTo6UsJ13HeBXevarrU',
        license='BSD',
        data='GoPro, DVD and NFS',
        scores=(Score('GoPro', 28.17, 0.925, 'CW', 'gopro-truncated'),),
        note='The file fpn_mobilenet.h5 is a PyTorch file; users measured 26.89 dB with it.',
    ),
    *(
        Weights(
            name=f'deblurganv2{suffix}-mmagic_gopro',
            recipe=f'deblurganv2{suffix}_gopro',
            page='https://github.com/open-mmlab/mmagic/tree/main/configs/deblurganv2',
            license='BSD',
            data='GoPro, DVD and NFS',
            files=(File(f'{_DEBLURGANV2}{backbone}.pth'),),
            note="MMagic's copy of the authors' weights.",
        )
        for suffix, backbone in (('', 'inception'), ('-mobilenet', 'mobilenet'))
    ),
    Weights(
        name='dmphn_gopro',
        recipe='dmphn_gopro',
        page='https://github.com/HongguangZhang/DMPHN-cvpr19-master',
        license=None,
        data='GoPro',
        files=tuple(
            File(f'{_DMPHN}{part}_lv{level}.pkl')
            for part in ('encoder', 'decoder')
            for level in (1, 2, 3)
        ),
        note='DMPHN(1-2-4) in six files; 31.20 dB, often quoted, is the PSNR of a stack of four.',
    ),
    Weights(
        name='hinet_gopro',
        recipe='hinet_gopro',
        page='https://github.com/megvii-model/HINet',
        license='MIT',
        data='GoPro',
        scores=(Score('GoPro', 32.77, 0.959, '3-D'), Score('HIDE', 30.33)),
        note='The GoPro score is of this file, in windows of 256 pixels; the paper has 32.71 dB.',
    ),
    Weights(
        name='hinet_reds',
        recipe='hinet_gopro',
        page='https://github.com/megvii-model/HINet',
        license='MIT',
        data='REDS',
        scores=(Score('REDS-300', 28.83, 0.862, '3-D'),),
    ),
    Weights(
        name='mimounet_gopro',
        recipe='mimounet_gopro',
        page='https://drive.google.com/file/d/1EQJoQj3YMLFfzrbgzWMD3Xj96RqLdIlx/view',
        license=None,
        data='GoPro',
        scores=(Score('GoPro', 31.73, 0.951, '3-D'),),
    ),
    Weights(
        name='mimounetplus_gopro',
        recipe='mimounetplus_gopro',
        page='https://drive.google.com/file/d/166sufeHcdDTgXHNbCRzTC4T6DzuflB5m/view',
        license=None,
        data='GoPro',
        scores=(Score('GoPro', 32.45, 0.957, '3-D'),),
    ),
    Weights(
        name='mimounetplus_realblur-j',
        recipe='mimounetplus_realblur-j',
        page='https://github.com/chosj95/MIMO-UNet#model',
        license=None,
        data='GoPro and RealBlur-J',
    ),
    Weights(
        name='mprnet_gopro',
        recipe='mprnet_gopro',
        page='https://drive.google.com/file/d/1QwQUVbk6YVOJViCsOKYNykCsdJSVGRtb/view',
        license='Academic Public License, non-commercial',
        data='GoPro',
        scores=(Score('GoPro', 32.66, 0.959, '3-D'), Score('HIDE', 30.96)),
    ),
    Weights(
        name='mssnet_gopro',
        recipe='mssnet_gopro',
        page='https://drive.google.com/file/d/1w8eFYRhevHDiz2TAJUcO9h9P5qbSrCQL/view',
        license=None,
        data='GoPro',
        note='If the link leads to an archive, use the file that was trained on GoPro.',
    ),
    Weights(
        name='nafnet_gopro',
        recipe='nafnet_gopro',
        page='https://drive.google.com/file/d/1Fr2QadtDCEXg6iwWX8OzeZLbHOx2t5Bj/view',
        license='MIT',
        data='GoPro',
        files=(
            File(
                size=68671121,
                sha256='19394e6155d12ef6371d1d57496f87f0ec88f92bdffa27c0792690722d5d1a5c',
            ),
        ),
        scores=(Score('GoPro', 32.8705, 0.9606, '3-D'),),
    ),
    Weights(
        name='nafnet64_gopro',
        recipe='nafnet64_gopro',
        page='https://drive.google.com/file/d/1S0PVRbyTakYY9a82kujgZLbMihfNBLfC/view',
        license='MIT',
        data='GoPro',
        files=(
            File(
                size=271778961,
                sha256='329d3ab4077b8d6b7ff61de376e483714667960bf85be027bf4335cda701196f',
            ),
        ),
        scores=(Score('GoPro', 33.7103, 0.9668, '3-D'),),
    ),
    Weights(
        name='nafnet64-mmagic_gopro',
        recipe='nafnet64_gopro',
        page='https://github.com/open-mmlab/mmagic/tree/main/configs/nafnet',
        license='MIT',
        data='GoPro',
        files=(File('https://download.openmmlab.com/mmediting/nafnet/NAFNet-GoPro-midc64.pth'),),
        scores=(Score('GoPro', 33.7246, 0.9479, '2-D'),),
        note="MMagic's copy of the authors' weights.",
    ),
    Weights(
        name='pssnsc_gopro',
        recipe='pssnsc_gopro',
        page='https://github.com/firenxygao/deblur',
        license=None,
        data='GoPro',
        scores=(Score('GoPro', 30.92, 0.942, '3-D', 'gopro-truncated'),),
        note='A TensorFlow checkpoint of two files, deblur_model.index and '
        'deblur_model.data-00000-of-00001, in the folder checkpoints/default; the score is that of '
        'the paper.',
    ),
    Weights(
        name='restormer_gopro',
        recipe='restormer_gopro',
        page='https://github.com/swz30/Restormer',
        license='Academic Public License, non-commercial',
        data='GoPro',
        files=(
            File(
                'https://github.com/swz30/Restormer/releases/download/v1.0/motion_deblurring.pth',
                104700429,
                '194e38fb5b607c9dc5a5b3e08e65b2e79ee2bf0ef5048e0612f6b2ff2f79da31',
            ),
        ),
        scores=(Score('GoPro', 32.92), Score('HIDE', 31.22)),
    ),
    Weights(
        name='restormer-mmagic_gopro',
        recipe='restormer_gopro',
        page='https://github.com/open-mmlab/mmagic/tree/main/configs/restormer',
        license='Academic Public License, non-commercial',
        data='GoPro',
        files=(
            File(
                'https://download.openmmlab.com/mmediting/restormer/'
                'restormer_official_gopro-db7363a0.pth'
            ),
        ),
        scores=(Score('GoPro', 32.9295, 0.9496, '2-D'), Score('HIDE', 31.2289, 0.9345, '2-D')),
        note="MMagic's copy of the authors' weights.",
    ),
    Weights(
        name='srn_gopro',
        recipe='srn_gopro',
        page='https://github.com/jiangsutx/SRN-Deblur',
        license='MIT',
        data='GoPro',
        scores=(Score('GoPro', 30.19, 0.9334, '3-D', 'gopro-truncated'),),
        note='A TensorFlow checkpoint of two files, deblur.model-523000.index and '
        'deblur.model-523000.data-00000-of-00001, in the folder lstm of the archive; the paper has '
        '30.26 dB.',
    ),
    Weights(
        name='srn-color_gopro',
        recipe='srn-color_gopro',
        page='https://github.com/jiangsutx/SRN-Deblur',
        license='MIT',
        data='GoPro',
        note='A TensorFlow checkpoint of two files, in the folder color of the archive.',
    ),
    Weights(
        name='srn-gray_gopro',
        recipe='srn-gray_gopro',
        page='https://github.com/jiangsutx/SRN-Deblur',
        license='MIT',
        data='GoPro',
        note='A TensorFlow checkpoint of two files, in the folder gray of the archive.',
    ),
)


def describe_weights(weights: Weights) -> Dict[str, str]:
    """Describe published weights in words.

    Args:
        weights: An entry of the catalog.

    Returns:
        A dict from the names of columns to texts. A question mark stands for an unknown value.

    Examples:
        >>> from mmspd.weights.catalog import CATALOG, describe_weights
        >>> describe_weights(CATALOG[0])['PSNR/SSIM']
        'GoPro, blur_gamma 30.4/0.9018 (2-D)'
    """
    sizes = [file.size for file in weights.files]
    return {
        'name': weights.name,
        'recipe': weights.recipe,
        'training data': weights.data,
        'PSNR/SSIM': '; '.join(map(_describe_score, weights.scores)) or '?',
        'license': weights.license or 'none stated',
        'MB': '?' if None in sizes else f'{sum(size or 0 for size in sizes) / 1e6:.0f}',
        'SHA-256': 'known' if all(file.sha256 for file in weights.files) else '?',
        'download': 'automatic' if weights.files[0].url else 'by hand',
    }


def _describe_score(score: Score) -> str:
    ssim = f'/{score.ssim:g} ({score.ssim_kind})' if score.ssim else ''
    return f'{score.dataset} {score.psnr:g}{ssim}'
