"""The committed tables are those that the committed results give."""

from pathlib import Path

import pytest
from prior_study.earlier import write_earlier
from prior_study.plan import Study
from prior_study.report import Results, front_table, write_report

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / 'results'
STUDIES = sorted(path.parent.name for path in RESULTS.glob('*/runs'))


@pytest.mark.slow
@pytest.mark.parametrize('name', STUDIES)
def test_the_committed_page_is_made_from_the_committed_runs(name, tmp_path):
    results = Results(Study(str(PROJECT / 'configs' / f'{name}.py')), RESULTS / name / 'runs')
    page = write_report(results, tmp_path)
    assert page.read_text() == (RESULTS / name / 'README.md').read_text()
    if name == 'main':
        manual = PROJECT.parents[1] / 'docs' / 'study.md'
        assert front_table(results) in manual.read_text()


def test_the_committed_page_of_the_earlier_runs_is_made_from_their_table(tmp_path):
    write_earlier(RESULTS / 'earlier.csv', tmp_path / 'page.md')
    assert (tmp_path / 'page.md').read_text() == (RESULTS / 'earlier.md').read_text()
    # 2.48 deviations on each side of a mean of three seeds
    assert '+0.63 (+0.42 to +0.83)' in (RESULTS / 'earlier.md').read_text()
