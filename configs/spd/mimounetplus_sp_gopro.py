# MIMO-UNet+ with the distilled prior, for fine-tuning of the official weights.
_base_ = [
    './mimounetplus_gopro.py',
    '../_base_/semantic_prior.py',
    '../_base_/teachers/tresnet_l.py',
]

work_dir = './work_dirs/{{fileBasenameNoExtension}}'

model = dict(
    generator=dict(_delete_=True, restorer=_base_.model.generator, **_base_.guided),
    # the paper's fine-tuned row starts from the authors' weights, given as a path or URL:
    #   --cfg-options model.load_official=MIMO-UNetPlus.pkl
    load_official=None,
    teacher=_base_.teacher,
    prior_loss=_base_.prior_loss,
)
