# Any pairs of folders: <PAIRS_ROOT>/{train,test}/{input,target}, matched by name, any depth; for
# other names add blur_dir and sharp_dir. Replaces the data set of gopro.py, whose splits and
# pipelines stay.
own_pairs = dict(type='mmspd.PairedFolderDataset', data_root='{{$PAIRS_ROOT:data/pairs}}')
