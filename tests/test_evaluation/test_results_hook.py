import cv2
import numpy as np

from mmspd.datasets import PhotoFolderDataset, SharpFolderDataset
from mmspd.evaluation.summary import infos_of, with_paths


def test_the_existing_files_of_an_image_are_recorded(tmp_path):
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, np.zeros((8, 8, 3), np.uint8))
    images = [{'key': 'a', 'PSNR': 30.0, '_patches': {}}]
    # a sharp photo is blurred when it is loaded, so its blurry image has no file
    for dataset, files in ((SharpFolderDataset, ('', path)), (PhotoFolderDataset, (path, ''))):
        (image,) = with_paths(images, infos_of(dataset(str(tmp_path))))
        assert image == {'key': 'a', 'PSNR': 30.0, 'blurry': files[0], 'sharp': files[1]}
