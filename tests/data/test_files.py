"""Files and the data sets that come with the package."""

import importlib.resources
import sys

import numpy as np
import pandas as pd
import pytest

from glamm import data
from glamm.data.simulate import SIMULATED, write
from glamm.errors import DataError
from glamm.graph.model import Term

FRAME = pd.DataFrame({"y": [1.5, 2.5], "f": ["a", "b"]})


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("d.csv", lambda path: FRAME.to_csv(path, index=False)),
        ("D.CSV", lambda path: FRAME.to_csv(path, index=False)),
        ("d.csv.gz", lambda path: FRAME.to_csv(path, index=False)),
        ("d.parquet", FRAME.to_parquet),
        ("d.dta", lambda path: FRAME.to_stata(path, write_index=False)),
    ],
)
def test_files(tmp_path, name, writer):
    writer(tmp_path / name)
    found = data.read(tmp_path / name)
    assert found["y"].tolist() == [1.5, 2.5]
    assert found["f"].tolist() == ["a", "b"]
    assert data.Table.from_any(found).columns == ("y", "f")


def test_value_labels_of_stata_are_ordered_levels(tmp_path):
    frame = pd.DataFrame({"f": pd.Categorical(["lo", "hi"], categories=["lo", "hi"], ordered=True)})
    frame.to_stata(tmp_path / "d.dta", write_index=False)
    assert data.Table.from_any(data.read(str(tmp_path / "d.dta"))).field("f").levels == ("lo", "hi")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "ragged.csv").write_text("a,b\n1\n1,2,3\n")
    (tmp_path / "bad.parquet").write_text("no parquet")
    (tmp_path / "bad.dta").write_text("no stata")
    (tmp_path / "latin.csv").write_bytes("a\n\xe9\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    for name in ("empty.csv", "ragged.csv", "bad.parquet", "bad.dta", "latin.csv"):
        with pytest.raises(DataError, match=f"cannot read the file .*{name}"):
            data.read(tmp_path / name)
    with pytest.raises(DataError, match="does not exist"):
        data.read(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder"):
        data.read(tmp_path / "folder.csv")
    with pytest.raises(DataError, match=r"what kind of file 'd.xlsx' is\n.*\.csv, .*\.dta"):
        data.read("d.xlsx")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "d.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install glamm\[parquet\]"):
        data.read(tmp_path / "d.parquet")


def test_data_sets_are_small_and_have_a_source():
    folder = importlib.resources.files("glamm.data") / "sets"
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")
    assert data.names() == ("counts", "pumps", "ratings", "schools", "seeds", "survival")
    for name in data.names():
        frame = data.load(name)
        assert f"| `{name}` | {len(frame)} |" in sources
        assert not frame.isna().any().any()
        assert len((folder / f"{name}.csv").read_bytes()) < 60_000


@pytest.mark.parametrize("name", sorted(SIMULATED))
def test_simulated_sets_come_from_their_script(tmp_path, name):
    write(tmp_path)
    made = pd.read_csv(tmp_path / f"{name}.csv")
    pd.testing.assert_frame_equal(data.load(name), made)


def test_an_unknown_data_set():
    with pytest.raises(DataError, match=r"no data set 'seed'\n.*'seeds'"):
        data.load("seed")
    with pytest.raises(DataError, match=r"no data set 'iris'\n.*counts, pumps"):
        data.load("iris")


def test_seeds_give_the_published_logistic_regression():
    """Breslow and Clayton (1993), table 3: -0.56 (0.13), 0.15 (0.22), 1.32 (0.18), -0.78 (0.31)."""
    frame = data.load("seeds")
    assert frame["r"].sum() == 424 and frame["n"].sum() == 831
    table = data.Table.from_any(frame)
    factors = [Term(("seed",)), Term(("extract",)), Term(("seed", "extract"))]
    design = table.design(factors, True)
    assert design.names == ("1", "seed[T.O73]", "extract[T.cucumber]", "seed[T.O73]:extract[T.cucumber]")
    x, n, r = design.matrix, frame["n"].to_numpy(), frame["r"].to_numpy()
    beta = np.zeros(4)
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ beta))
        information = x.T @ (x * (n * p * (1 - p))[:, None])
        beta += np.linalg.solve(information, x.T @ (r - n * p))
    # Printed with two decimals.
    np.testing.assert_allclose(beta, [-0.56, 0.15, 1.32, -0.78], atol=0.005)
    np.testing.assert_allclose(
        np.sqrt(np.diag(np.linalg.inv(information))), [0.13, 0.22, 0.18, 0.31], atol=0.005
    )


def test_pumps_give_the_published_rates():
    """Gaver and O'Muircheartaigh (1987): failures per thousand hours of the first and the last pump."""
    frame = data.load("pumps")
    rates = (frame["failures"] / frame["time"]).round(3)
    assert (rates.iloc[0], rates.iloc[9]) == (0.053, 2.099)
    assert frame["failures"].sum() == 75
