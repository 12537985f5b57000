"""Measure the trained priors of a study: their likeness to the teacher, size and effect on SAT.

python projects/prior_study/prior.py projects/prior_study/configs/main.py work_dirs/study/main \
    --only net6 normalised
"""

import argparse
from pathlib import Path
from typing import List

from mmengine.logging import MMLogger
from prior_study.plan import Study
from prior_study.prior import effect_of_prior, fit_of_prior
from prior_study.training import check_record, weights_of

from mmspd.errors import UserError
from mmspd.utils.cli import run_main
from mmspd.utils.tables import text_table


def main(argv: List[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="R2: explained share of the variance of the teacher's features of the sharp images; "
        '1 is perfect, 0 as good as the mean of every channel. It needs a teacher of given '
        "weights. In brackets: R2 of the teacher's own features of the blurry image. The size is "
        'a standard deviation. Levels go from fine to coarse, seams in the order of the decoder.',
    )
    parser.add_argument('study', help="the study's file, e.g. projects/prior_study/configs/main.py")
    parser.add_argument(
        'results', type=Path, help='folder of the results of projects/prior_study/run.py'
    )
    parser.add_argument('--only', nargs='+', metavar='VARIANT', required=True)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--on', default='val', metavar='SET', help='test set (default: val)')
    args = parser.parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    study = Study(args.study)
    fits, effects = [], []
    for row in study.rows(args.only, args.seeds):
        if study.variant(row.variant).shuffle:
            trained = study.variant(row.variant).shuffle
            raise UserError(f"'{row.variant}' trains nothing: measure '{trained}' instead")
        config = study.config(row)
        check_record(study, row, args.results)
        checkpoint = weights_of(row, args.results)
        if args.on not in config.test_sets:
            sets = ', '.join(config.test_sets)
            raise UserError(f'--on {args.on}: the study has the test sets {sets}')
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
