# The prior on top of published MIMO-UNet+ weights, the paper's fine-tuned row:
#   export MIMOUNETPLUS=weights/MIMO-UNetPlus.pkl
#   python tools/train.py configs/spd/mimounetplus_sp_gopro.py
# MIMOUNETPLUS is the authors' file or its http(s) address; at step 0 the guided restorer gives
# exactly their output. Without it the restorer is trained from scratch, and the log says so.
_base_ = ['./mimounetplus_gopro.py', '../_base_/semantic_prior.py']

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    load_official='{{$MIMOUNETPLUS:none}}',
    teacher=_base_.tresnet_l,
    prior_loss=_base_.prior_loss,
)
