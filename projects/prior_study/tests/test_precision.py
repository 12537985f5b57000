"""A study keeps its number format on every machine."""

import pytest
import torch
from prior_study.plan import Row, Study, digest_of
from prior_study.precision import PRECISION_NAME, read_dtype, settle_dtype
from prior_study.record import write_record
from prior_study.training import check_record

from mmspd.errors import UserError

CPU = torch.device('cpu')
AUTO = "options = dict(optim_wrapper=dict(dtype='auto'))\n"


@pytest.mark.parametrize(('flags', 'dtype'), [('avx512_bf16', 'bfloat16'), ('avx512_vnni', None)])
def test_the_first_machine_decides(flags, dtype, pretend_processor, tmp_path, write_study):
    assert read_dtype(tmp_path / 'out') is None
    pretend_processor(flags)
    assert settle_dtype(tmp_path / 'out', CPU) == dtype
    for other in ('', 'amx_bf16'):
        pretend_processor(other)
        assert settle_dtype(tmp_path / 'out', CPU) == dtype
    study = Study(write_study(AUTO), read_dtype(tmp_path / 'out'))
    assert study.config(Row('plain', 0)).optim_wrapper.dtype == dtype


def test_a_run_in_another_format_is_refused(write_study, tmp_path):

    row, path = Row('plain', 0), write_study(AUTO)
    begun, other = Study(path, 'bfloat16'), Study(path)
    write_record(row.folder(tmp_path), dict(status='done', config=digest_of(begun.config(row))))
    assert check_record(begun, row, tmp_path)['status'] == 'done'
    with pytest.raises(UserError, match='was made with another config of plain seed 0'):
        check_record(other, row, tmp_path)


@pytest.mark.parametrize('text', ['', '{}', '{"auto": "int8"}', '[]'])
def test_a_damaged_record_is_refused(text, tmp_path):
    (tmp_path / PRECISION_NAME).write_text(text)
    with pytest.raises(
        UserError, match=r"precision.json' is damaged; write {\"auto\": \"bfloat16\"}"
    ):
        settle_dtype(tmp_path, CPU)
