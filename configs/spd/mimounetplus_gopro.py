_base_ = './mimounet_gopro.py'

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(generator=dict(num_res=20, dropout=0.1))
