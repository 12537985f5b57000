from mmspd.utils.tables import text_table


def test_columns_are_aligned_as_in_markdown():
    table = text_table(('name', 'PSNR'), [('a', '30.25'), ('longer', '9.5')])
    assert table.splitlines() == [
        '| name   |  PSNR |',
        '| :----- | ----: |',
        '| a      | 30.25 |',
        '| longer |   9.5 |',
    ]
