# The main comparison under panning blur, which a small network quickly learns to remove.
# STUDY_PANNING is the folder of the data. projects/prior_study/README.md has the command that makes
# the data. To run the variants:
#   python projects/prior_study/run.py projects/prior_study/configs/panning.py --jobs 2 --minutes 60
_base_ = './main.py'

epochs = 10
root = '{{$STUDY_PANNING:data/study_panning}}'
train, *tests = [
    dict(data_root=f'{root}/pairs/{name}', packed=f'{root}/packs/{name}')
    for name in ('train', 'val', 'kodak24', 'reds', 'levin09', 'gopro', 'gopro4')
]
options = dict(
    # no transpositions, because the blur is horizontal
    train_dataloader=dict(dataset=dict(train, pipeline={'4': dict(transpose_ratio=0.0)})),
    val_dataloader=dict(dataset=tests[0]),
    test_sets=dict(zip(('val', 'kodak24', 'reds', 'levin09', 'gopro', 'gopro4'), tests)),
)
order = [dict(variants=_base_.main, seeds=_base_.seeds)]
title = 'Main comparison: panning blur'
