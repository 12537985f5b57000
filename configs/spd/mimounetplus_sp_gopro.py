# MIMO-UNet+ with the distilled prior, for fine-tuning of the official weights.
# The schedule of this fine-tuning is a guess. The paper says only that it trains or fine-tunes
# models with the strategy of their authors, except for the number of iterations. It gives neither
# this number nor the learning rate of the fine-tuning. This recipe repeats the whole training of
# MIMO-UNet+: 3000 epochs from 1e-4, although the official training ends at 3e-6. To try another
# schedule, set optim_wrapper.optimizer.lr, train_cfg.max_epochs and param_scheduler.step_size.
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
