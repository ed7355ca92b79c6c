"""Tables of one's own: kinds of columns, gaps, and the input made of them."""

import numpy as np
import pytest

from scratchnet.data.spreadsheet import Encoder, Inputs, read_spreadsheet, target_of, without_missing
from scratchnet.errors import DataError, SettingError

MIXED = "area;town;rooms;price\n50,5;Ulm;2;1.5\n; Bonn ;3;2.5\n70;Ulm;NA;3.5\n\n90;;4;4.5\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="my.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_numbers_kinds_and_gaps_are_told_apart_by_what_stands_there(write):
    table = read_spreadsheet(write(MIXED.replace("50,5", "50.5")))
    assert table.names == ("area", "town", "rooms", "price") and table.lines == [2, 3, 4, 6]
    area, town = table.column("area"), table.column("town")
    assert area.kinds == () and town.kinds == ("Bonn", "Ulm")
    np.testing.assert_array_equal(area.values, [50.5, np.nan, 70, 90])
    np.testing.assert_array_equal(town.values, [1, 0, 1, np.nan])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_three_delimiters_and_quotes_and_a_mark_of_the_byte_order(write, delimiter):
    text = f'\ufeffa{delimiter}"b{delimiter}c"\n1{delimiter}"x\ny"\n2{delimiter}z\n'
    table = read_spreadsheet(write(text))
    assert table.names == ("a", f"b{delimiter}c")
    assert table.column(table.names[1]).kinds == ("x\ny", "z") and table.lines == [3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a,b\n", "holds no rows below the names"),
        ("a,a\n1,2\n", "line 1: two columns are called 'a'"),
        ("a,\n1,2\n", "line 1: a column has no name"),
        ("a,b\n1,2\n3\n", "line 3: 1 fields instead of 2"),
        (b"a,b\n1,\xff\n", "line 2: this is not UTF-8 text"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(write, text, message):
    with pytest.raises(DataError, match=f"my.csv.*{message}"):
        read_spreadsheet(write(text))


def test_files_that_are_not_there_or_no_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_spreadsheet(tmp_path / "none.csv")
    with pytest.raises(OSError, match="not a file"):
        read_spreadsheet(tmp_path)


@pytest.mark.parametrize("date", ["2026-11-28", "28.11.2026", "11/28/2026", "2026-11-28 07:30:00", "7:30"])
def test_dates_are_refused_with_a_hint(write, date):
    table = read_spreadsheet(write(f"day,y\n{date},1\n{date},2\n"))
    with pytest.raises(DataError, match=r"column day holds dates .*the year.*--drop day"):
        table.column("day")


def test_texts_that_are_all_different_and_a_stray_text_among_numbers(write):
    names = "".join(f"name{k},{k}\n" for k in range(300))
    with pytest.raises(DataError, match=r"300 different texts in 300 rows.*--drop who"):
        read_spreadsheet(write("who,y\n" + names)).column("who")
    numbers = "".join(f"{k}.5,1\n" for k in range(300))
    table = read_spreadsheet(write("x,y\n" + numbers + "tall,1\n"))
    with pytest.raises(DataError, match="line 302, x: 'tall' is no number"):
        table.column("x")


def test_a_column_without_values(write):
    with pytest.raises(DataError, match="column a has no values"):
        read_spreadsheet(write("a,b\n,1\nNA,2\n")).column("a")


def test_missing_values_need_a_decision_and_are_named(write):
    table = read_spreadsheet(write(MIXED.replace("50,5", "50.5")))
    columns = [table.column(name) for name in ("price", "area", "town")]
    with pytest.raises(DataError, match=r"column area lacks values in 1 of 4 rows \(lines 3\): --missing mean"):
        without_missing(table, columns, "")
    assert without_missing(table, columns, "mean").all()
    assert without_missing(table, columns, "drop").tolist() == [True, False, True, False]
    gaps = read_spreadsheet(write("a,b\n1,\n,2\n"))
    with pytest.raises(DataError, match="leaves none"):
        without_missing(gaps, [gaps.column("a"), gaps.column("b")], "drop")


def test_what_fills_in_and_scales_is_learnt_from_the_training_rows_alone(write):
    table = read_spreadsheet(write("x,kind\n1,a\n3,b\n,b\n1000,c\n"))
    columns = (table.column("x"), table.column("kind"))
    x = np.stack([c.values for c in columns], axis=1)
    encode = Inputs(columns)(x[:3])
    np.testing.assert_allclose(encode(x), [[-1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [998, 0, 0, 1]])
    assert Inputs(columns).names == ["x", "kind=a", "kind=b", "kind=c"]
    gap = np.array([[np.nan, np.nan]])
    np.testing.assert_allclose(encode(gap), [[0, 0, 1, 0]])  # the mean, and the most frequent kind
    assert np.isnan(x[2, 0])  # the user's rows stay as they are


def test_a_column_that_never_changes_stays_0():
    from scratchnet.data.spreadsheet import Column

    column = Column("x", np.full(4, 7.0))
    assert Encoder([column], column.values[:, None])(np.array([[7.0]])).tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("values", "task", "found", "kinds"),
    [
        (["a", "b", "a"], "auto", "classes", ("a", "b")),
        (["0", "1", "10", "2"], "auto", "classes", ("0", "1", "2", "10")),
        (["0.5", "1", "10"], "auto", "values", ()),
        ([str(k) for k in range(11)], "auto", "values", ()),
        (["0", "1", "0"], "values", "values", ()),
        (["0.5", "1.5", "0.5"], "classes", "classes", ("0.5", "1.5")),
    ],
)
def test_whether_the_target_is_a_class_or_a_value(write, values, task, found, kinds):
    table = read_spreadsheet(write("y,x\n" + "".join(f"{v},1\n" for v in values)))
    column, what = target_of(table, "y", task)
    assert what == found and column.kinds == kinds


def test_targets_that_cannot_be(write):
    table = read_spreadsheet(write("y,x\na,1\na,2\n"))
    with pytest.raises(SettingError, match=r"--target z: the columns of .* are y, x"):
        target_of(table, "z", "auto")
    with pytest.raises(DataError, match="every row has the y 'a'"):
        target_of(table, "y", "auto")
    with pytest.raises(DataError, match="holds texts such as 'a', and values are numbers"):
        target_of(table, "y", "values")


def test_parquet_is_read_as_csv_is(write, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `parquet`, is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "my.parquet"
    parquet.write_table(pyarrow.table({"x": [1.5, None, 3.0], "kind": ["a", "b", None]}), path)
    table = read_spreadsheet(path)
    np.testing.assert_array_equal(table.column("x").values, [1.5, np.nan, 3.0])
    assert table.column("kind").kinds == ("a", "b")
    with pytest.raises(DataError, match=r"no Parquet file that can be read"):
        read_spreadsheet(write(b"PAR1 no", "bad.parquet"))
