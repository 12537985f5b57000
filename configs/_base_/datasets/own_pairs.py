# Any pairs of folders: <PAIRS_ROOT>/{train,test}/{input,target}, matched by name, any depth.
# Other names: blur_dir and sharp_dir, relative to the root.
own_pairs_train, own_pairs_test = [
    dict(
        type='mmspd.PairedFolderDataset',
        data_root='{{$PAIRS_ROOT:data/pairs}}',
        packed='{{$MMSPD_PACKED:raw}}',
        blur_dir=f'{split}/input',
        sharp_dir=f'{split}/target',
        test_mode=split == 'test',
    )
    for split in ('train', 'test')
]
