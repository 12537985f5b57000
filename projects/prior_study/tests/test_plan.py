"""The file of a study, and the config of each run."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from prior_study.plan import Row, Study, digest_of

from mmspd.errors import UserError
from mmspd.registry import build_model

MAIN = Path(__file__).resolve().parents[1] / 'configs' / 'main.py'


def test_rows_are_in_the_order_of_the_study(study):
    rows = [str(row) for row in study.rows()]
    assert rows == [
        *('plain seed 0', 'guided seed 0', 'plain seed 1', 'guided seed 1', 'shuffled seed 0')
    ]
    assert [str(row) for row in study.rows(['guided'])] == ['guided seed 0', 'guided seed 1']
    assert study.rows(['wide']) == [Row('wide', 0)]
    assert study.rows(['plain'], [3, 5]) == [Row('plain', 3), Row('plain', 5)]
    with pytest.raises(UserError, match="no variant 'gided'; choose from plain, seven, wide"):
        study.rows(['gided'])


def test_a_variant_is_its_base_with_the_changes_and_the_budget(study):
    config = study.config(Row('slow', 7))
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert config.train_cfg.max_epochs == config.param_scheduler.T_max == 2
    assert config.randomness.seed == 7
    assert study.config(Row('tuned', 0)).train_cfg.max_epochs == 1
    assert study.config(Row('guided', 0)).optim_wrapper.optimizer.lr == 2e-3
    same = [study.config(Row(name, 1)).to_dict() for name in ('shuffled', 'guided')]
    assert same[0] == same[1]


def test_a_width_is_matched_to_the_cost_of_another_variant(study):
    assert study.config(Row('wide', 0)).model.generator.base == 7


def test_the_digest_depends_on_the_config_but_not_on_folders(study):
    configs = [study.config(Row('guided', 0)) for _ in range(4)]
    configs[1].work_dir = configs[1].checkpoints = 'elsewhere'
    configs[1].train_dataloader.dataset.data_root = '/other/place'
    configs[2].randomness.seed = 1
    configs[3].model.generator.prior.extractor.width = 5
    digests = [digest_of(config) for config in configs]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        ('del order', 'has no order; add it'),
        ("variants[6]['start_from'] = 'none'", "no variant 'none'"),
        ("tables = [dict(title='t', gains=[('plain', 'wyde')])]", "no variant 'wyde'"),
        ('variants.append(variants[0])', "has two variants 'plain'"),
        ("variants[0]['sed'] = 1", "'plain' has an unknown key 'sed'; choose from about"),
        ("variants[0]['length'] = 0.3", 'length=0.3, which is not a whole number of epochs'),
        ("variants[5]['base'] = 'plain.py'", "'shuffled' has both base and shuffle"),
        (
            "variants[0]['options'] = {'model': {}, 'model.x': 5}",
            "changes 'model' and also keys below it",
        ),
    ],
)
def test_mistakes_in_the_file_end_in_one_sentence(write_study, extra, message):
    with pytest.raises(UserError, match=message):
        Study(write_study(extra + '\n'))


def test_the_panning_study_differs_only_in_data_and_length():
    main, panning = Study(str(MAIN)), Study(str(MAIN.with_name('panning.py')))
    assert set(main.variants) == set(panning.variants)
    config = panning.config(Row('distilled', 0))
    assert config.train_cfg.max_epochs == panning.epochs < main.epochs
    for sets in (config.test_sets, dict(train=config.train_dataloader.dataset)):
        for name, dataset in sets.items():
            assert dataset.packed == f'data/study_panning/packs/{name}'
            assert dataset.data_root == f'data/study_panning/pairs/{name}'
    assert config.train_dataloader.dataset.pipeline[4] == dict(
        type='mmagic.RandomTransposeHW', keys=['img', 'gt'], transpose_ratio=0.0
    )
    assert config.val_dataloader.dataset.packed == config.test_sets.val.packed
    assert config.model == main.config(Row('distilled', 0)).model


@pytest.mark.slow
@pytest.mark.parametrize('name', ['main', 'choices', 'motion', 'restorers'])
def test_every_variant_can_be_built_is_in_the_order_and_is_unique(name):
    init_default_scope('mmagic')
    study = Study(str(MAIN.with_name(f'{name}.py')), dtype='bfloat16')
    known = set(Study(str(MAIN)).variants) if study.path != str(MAIN) else set()
    names_by_digest, built = {}, set()
    for name, variant in study.variants.items():
        if variant.shuffle or name in known:
            continue
        config = study.config(Row(name, 0))
        if str(config.model) not in built:  # many variants differ in their training only
            built.add(str(config.model))
            with torch.device('meta'):
                build_model(config.model)
        if not (variant.match_macs or variant.start_from):
            names_by_digest.setdefault(digest_of(config), []).append(name)
    assert [names for names in names_by_digest.values() if len(names) > 1] == []
    tables = {name for table in study.tables for pair in table['gains'] for name in pair}
    own = {row.variant for row in study.rows()}
    assert own <= set(study.variants)
    assert own <= tables | {'prior_first'}  # the report shows every run
