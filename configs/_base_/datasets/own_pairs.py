# Your own pairs: <PAIRS_ROOT>/{train,test}/{input,target}, matched by name, at any depth. For other
# folder names, set blur_dir and sharp_dir. Merge own_pairs into the datasets of gopro.py, which
# define the splits and the pipelines.
own_pairs = dict(type='mmspd.PairedFolderDataset', data_root='{{$PAIRS_ROOT:data/pairs}}')
