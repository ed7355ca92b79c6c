"""Tables in text files: the built-in ones against other copies.

Every mistake is an error that names the line.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from scratchnet.data import flights, iris, wheat
from scratchnet.data.tables import read_table
from scratchnet.errors import DataError

ROOT = Path(os.environ.get("SCRATCHNET_DATA", "nowhere"))


def needs(folder):
    return pytest.mark.skipif(not (ROOT / folder).is_dir(), reason=f"needs {folder}: set SCRATCHNET_DATA")


@needs("iris")
def test_iris_equals_another_copy():
    ours = iris.load_iris()
    theirs = np.genfromtxt(ROOT / "iris" / "iris.csv", delimiter=",", skip_header=1, dtype=str)
    np.testing.assert_array_equal(ours.values, theirs[:, :4].astype(float))
    assert [ours.classes[k] for k in ours.labels] == theirs[:, 4].tolist()


def test_iris_is_fishers():
    data = iris.load_iris()
    assert data.values.shape == (150, 4) and np.bincount(data.labels).tolist() == [50, 50, 50]
    np.testing.assert_array_equal(data.values[34], [4.9, 3.1, 1.5, 0.2])  # rows 35 and 38, where the UCI file is wrong
    np.testing.assert_array_equal(data.values[37], [4.9, 3.6, 1.4, 0.1])


@needs("flights")
def test_flights_equal_another_copy():
    theirs = np.genfromtxt(ROOT / "flights" / "flights.csv", delimiter=",", skip_header=1, dtype=str)
    np.testing.assert_array_equal(flights.load_flights(), theirs[:, 2].astype(float))
    assert theirs[0, 0] == str(flights.FIRST_YEAR)
    assert [month.lower() for month in theirs[:12, 1]] == list(flights.MONTHS)


def test_flights_and_the_seasonal_naive_forecast():
    series = flights.load_flights()
    assert series.shape == (144,) and series.dtype == np.float64
    rmse = np.sqrt(np.mean((series[-12:] - series[-24:-12]) ** 2))
    assert rmse == pytest.approx(50.7, abs=0.05)  # published


@needs("wheat-seeds")
def test_wheat():
    data = wheat.load_wheat(ROOT)
    assert data.values.shape == (210, 7) and np.bincount(data.labels).tolist() == [70, 70, 70]
    theirs = np.loadtxt(ROOT / "wheat-seeds" / "seeds_dataset.txt")
    np.testing.assert_array_equal(np.column_stack([data.values, data.labels + 1]), theirs)


def test_wheat_names_the_line(tmp_path):
    row = b"15.26\t14.84\t0.871\t5.763\t3.312\t2.221\t5.22\t\t"
    (tmp_path / "seeds_dataset.txt").write_bytes(row + b"1\n" + row + b"4\n")
    with pytest.raises(DataError, match=r"seeds_dataset\.txt, line 2, kind: '4' is not one of 1, 2, 3"):
        wheat.load_wheat(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the header is '', expected 'a,b,kind'"),
        ("a,b,kind\n", ": holds no rows"),
        ("a,b\n1,2\n", "line 1: the header is 'a,b', expected 'a,b,kind'"),
        ("a,b,kind\n1,2,x\n1,2\n", "line 3: 2 fields instead of 3"),
        ("a,b,kind\n\n1,2,x,4\n", "line 3: 4 fields instead of 3"),
        ("a,b,kind\n1,nan,x\n", "line 2, b: 'nan' is not a finite number"),
        ("a,b,kind\n1,-inf,x\n", "line 2, b: '-inf' is not a finite number"),
        ("a,b,kind\n1e400,1,x\n", "line 2, a: '1e400' is not a finite number"),
        ("a,b,kind\n1_0,1,x\n", "line 2, a: '1_0' is not a finite number"),
        ("a,b,kind\n١,1,x\n", "line 2, a: '١' is not a finite number"),
        ("a,b,kind\n1,,x\n", "line 2, b: the value is missing"),
        ("a,b,kind\n1,one,x\n", "line 2, b: 'one' is not a finite number"),
        ("a,b,kind\n1,2,z\n", "line 2, kind: 'z' is not one of x, y"),
        ('a,b,kind\n1,"2,x\n', "line 3: unexpected end of data"),
        ("a,b,kind\n1," + "9" * 200_000 + ",x\n", "line 2: field larger than field limit"),
        (b"a,b,kind\n1,2,x\n1,\xff,x\n", "line 3: byte 17 is not UTF-8 text"),
        ("a,b,kind\n" + "1,2,x\n" * 3_000_000, "larger than 16777216 bytes"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_table(path, ["a", "b", "kind"], {"kind": ("x", "y")}, ",")
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_what_is_allowed(tmp_path):
    path = tmp_path / "table"
    path.write_bytes(b'\xef\xbb\xbfa,kind\r\n 1.5 ,"x"\r\n\r\n-2e3,y')
    columns = read_table(path, ["a", "kind"], {"kind": ("x", "y")}, ",")
    np.testing.assert_array_equal(columns["a"], [1.5, -2000.0], strict=True)
    np.testing.assert_array_equal(columns["kind"], np.array([0, 1]), strict=True)
    path.write_bytes(b"1\t\t2 \n\n 3 4\n")
    np.testing.assert_array_equal(read_table(path, ["a", "b"])["b"], [2.0, 4.0])
    with pytest.raises(DataError, match="this is not a file"):
        read_table(tmp_path, ["a"])
