from mmspd.utils.tables import text_table


def test_columns_are_aligned_and_markdown_reads_them():
    table = text_table(('name', 'PSNR'), [('a', '30.25'), ('longer', '9.5')])
    assert table.splitlines() == [
        '| name   |  PSNR |',
        '| :----- | ----: |',
        '| a      | 30.25 |',
        '| longer |   9.5 |',
    ]
