# The study of gpu.py with the full width of the recipes.
_base_ = './gpu.py'

variants = [
    dict(
        variant,
        options={
            key: 32 if key in (_base_.plain, _base_.guided) else value
            for key, value in variant['options'].items()
        },
    )
    for variant in _base_.variants
]
