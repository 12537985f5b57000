"""Measure the trained priors of a study: their fit to the teacher, size and effect on SAT.

python projects/prior_study/prior.py projects/prior_study/configs/main.py work_dirs/study/main \
    --only distilled
"""

import argparse
from pathlib import Path
from typing import List

from mmengine.logging import MMLogger
from prior_study.plan import Study
from prior_study.precision import read_dtype
from prior_study.prior import effect_of_prior, fit_of_prior
from prior_study.training import check_record, weights_of

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.tables import text_table


def main(argv: List[str]) -> None:
    """Measure the priors and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="R2 is the share of the variance of the teacher's features of the sharp images that "
        'the prior explains. 1 is a perfect fit; 0 is as good as the mean of every channel. The R2 '
        "in brackets is for the teacher's own features of the blurry image. R2 is not computed for "
        'a teacher with random weights. The size is the standard deviation of M_pri. Levels are in '
        'the order from fine to coarse, and seams are in the order of the decoder.',
    )
    parser.add_argument('study', help='file of the study, such as configs/main.py of this project')
    parser.add_argument('results', type=Path, help='output folder of projects/prior_study/run.py')
    parser.add_argument(
        '--only', nargs='+', metavar='VARIANT', required=True, help='variants to measure'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0], help='seeds to measure (default: 0)'
    )
    parser.add_argument('--on', default='val', metavar='SET', help='test set (default: val)')
    args = parser.parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    study = Study(args.study, read_dtype(args.results))
    fits, effects = [], []
    for row in study.rows(args.only, args.seeds):
        if study.variant(row.variant).shuffle:
            trained = study.variant(row.variant).shuffle
            raise UserError(f"'{row.variant}' is not trained; measure '{trained}' instead.")
        config = study.config(row)
        check_record(study, row, args.results)
        checkpoint = weights_of(row, args.results)
        if args.on not in config.test_sets:
            sets = ', '.join(config.test_sets)
            raise UserError(f'The study has no test set {args.on!r}; choose --on from {sets}.')
        pairs = config.test_sets[args.on]
        effect = effect_of_prior(config, checkpoint, pairs)
        cells = [effect.aggregated, effect.mu_change.values(), effect.mu_spread.values()]
        effects.append([str(row), *(', '.join(f'{size:.2f}' for size in cell) for cell in cells)])
        if config.model.get('teacher') and config.model.teacher.weights != 'random':
            for group, fit in fit_of_prior(config, checkpoint, pairs).items():
                levels = [f'{own:.2f} ({raw:.2f})' for own, raw in zip(*fit)]
                fits.append([str(row), group, ', '.join(levels)])
    columns = ('size of M_pri, by level', 'mean abs(mu - 1), by seam', 'spread of mu, by seam')
    print(text_table(['run', *columns], effects))
    if fits:
        header = ['run', 'blur', 'R2 of the prior (of the teacher), by level']
        print(f'\n{text_table(header, fits)}')


if __name__ == '__main__':
    run_main(main)
