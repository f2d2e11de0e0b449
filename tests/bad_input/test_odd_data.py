"""New data, odd but good data, and mistakes on the command line."""

import warnings

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from odd_data import DATA, ROW, N, put, refuse

import glamm
from glamm.cli import main
from glamm.errors import DataError

# ------------------------------------------------ new data


@pytest.fixture(scope="module")
def fitted():
    return glamm.fit("n ~ x + f + (1 | g)", DATA, "poisson", points=5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop(columns="x"), ["no column 'x'"]),
        (lambda d: d.rename(columns={"f": "F"}), ["no column 'f'", "mean 'F'"]),
        (lambda d: d.assign(f=["a", "q", "b"]), ["'f'", "'q'", "row 1", "a, b, c"]),
        (lambda d: d.assign(f=1.0), ["'f'", "row 0", "a, b, c"]),
        (lambda d: d.assign(x="a"), ["'x'", "numbers", "labels"]),
        (lambda d: d.assign(x=np.inf), ["'x'", "not finite", "row 0"]),
        (lambda d: d.assign(g=[0, np.nan, 1]), ["'g'", "missing", "row 1"]),
        (lambda d: d.head(0), ["no rows"]),
        (lambda d: [1, 2], ["list"]),
    ],
)
def test_new_data(fitted, change, words):
    with pytest.raises(DataError) as caught:
        fitted.predict(change(DATA.head(3)))
    for word in words:
        assert word in str(caught.value)


def test_new_data_with_new_clusters_and_missing_values(fitted):
    new = DATA.head(3).assign(g=[0, 99, 0], x=[DATA.x[0], DATA.x[0], np.nan], f="a")
    predicted = fitted.predict(new)
    elsewhere = fitted.predict(new.assign(g=[100, 99, 99]))
    assert predicted[0] == pytest.approx(fitted.predict(DATA.head(1).assign(f="a"))[0])
    assert predicted[1] == pytest.approx(elsewhere[0]) and predicted[0] != pytest.approx(predicted[1])
    assert np.isnan(predicted[2])


# ------------------------------------------------ data that are odd and good


PLAIN = "n ~ x + f + (1 | g)"
TWINS = {
    "mapping": (PLAIN, {name: DATA[name].tolist() for name in DATA}),
    "polars": (PLAIN, polars.from_pandas(DATA)),
    "polars categorical": (
        PLAIN,
        polars.from_pandas(DATA).with_columns(polars.col("f").cast(polars.Categorical)),
    ),
    "polars enum": (
        PLAIN,
        polars.from_pandas(DATA).with_columns(polars.col("f").cast(polars.Enum(list("abcde")))),
    ),
    "pyarrow": (PLAIN, pyarrow.Table.from_pandas(DATA)),
    "pyarrow dictionary": (PLAIN, pyarrow.Table.from_pandas(DATA.astype({"f": "category"}))),
    "nullable": (PLAIN, DATA.convert_dtypes()),
    "arrow dtypes": (PLAIN, DATA.convert_dtypes(dtype_backend="pyarrow")),
    "unused levels": (PLAIN, DATA.assign(f=pd.Categorical(DATA.f, list("abcde")))),
    "unused clusters": (PLAIN, DATA.assign(g=pd.Categorical(DATA.g, range(40)))),
    "ids of ten digits": (PLAIN, DATA.assign(g=DATA.g + 9_876_543_210)),
    "unsigned ids": (PLAIN, DATA.assign(g=(DATA.g + 9_876_543_210).astype("uint64"))),
    "ids with decimals": (PLAIN, DATA.assign(g=DATA.g / 8 + 0.1)),
    "names of clusters": (PLAIN, DATA.assign(g=[f"clinic {g:02d}" for g in DATA.g])),
    "odd index": (PLAIN, DATA.set_index(np.zeros(N))),
    "two indexes": (PLAIN, DATA.set_index(["h", "b"])),
    "column names that are numbers": ("n ~ `0` + f + (1 | g)", DATA.rename(columns={"x": 0})),
    "spaces": (
        "`n of cases` ~ `größe in cm` + f + (1 | `my group`)",
        DATA.rename(columns={"n": "n of cases", "x": "größe in cm", "g": "my group"}),
    ),
    "python words": (
        "`if` ~ `class` + f + (1 | `def`)",
        DATA.rename(columns={"n": "if", "x": "class", "g": "def"}),
    ),
    "unicode": ("n ~ größe + f + (1 | 学校)", DATA.rename(columns={"x": "größe", "g": "学校"})),
    "functions": (
        "log ~ exp + C + (1 | sqrt)",
        DATA.rename(columns={"n": "log", "x": "exp", "f": "C", "g": "sqrt"}),
    ),
    "parameters": (
        "size ~ sigma + shape + (1 | df)",
        DATA.rename(columns=dict(n="size", x="sigma", f="shape", g="df")),
    ),
    "modules": ("n ~ np + f + (1 | pd)", DATA.rename(columns={"x": "np", "g": "pd"})),
}


@pytest.fixture(scope="module")
def plain():
    return glamm.fit(PLAIN, DATA, "poisson", points=7)


@pytest.mark.parametrize("name", TWINS)
def test_odd_data_fit_as_their_plain_twins(plain, name):
    text, data = TWINS[name]
    twin = glamm.fit(text, data, "poisson", points=7)
    assert twin.llf == pytest.approx(plain.llf, abs=1e-10)
    np.testing.assert_allclose(twin.params, plain.params, rtol=1e-8)
    assert twin.converged and str(twin.summary())


def test_order_of_rows_does_not_matter(plain):
    shuffled = glamm.fit(PLAIN, DATA.sample(frac=1, random_state=1), "poisson", points=7)
    assert shuffled.llf == pytest.approx(plain.llf, abs=1e-9)


@pytest.mark.parametrize("dtype", [bool, "boolean", "bool[pyarrow]"])
def test_booleans(dtype):
    number = DATA.assign(q=(DATA.x > 0).astype(float))
    flag = DATA.assign(q=(DATA.x > 0).astype(dtype), b=DATA.b.astype(dtype))
    text = "b ~ q + (1 | g)"
    expected = glamm.fit(text, number, "binomial", points=5)
    found = glamm.fit(text, flag, "binomial", points=5)
    assert found.llf == pytest.approx(expected.llf, abs=1e-10)
    np.testing.assert_allclose(found.params, expected.params, rtol=1e-8)


@pytest.mark.parametrize(
    "data",
    [
        put("x", None),
        put("x", np.nan).convert_dtypes(),
        put("x", np.nan).convert_dtypes(dtype_backend="pyarrow"),
        put("x", None).astype({"x": object}),
        polars.from_pandas(put("x", np.nan)),
        polars.from_pandas(put("x", np.nan)).with_columns(polars.col("x").fill_null(float("nan"))),
        pyarrow.Table.from_pandas(put("x", np.nan)),
    ],
    ids=["None", "nullable", "arrow dtypes", "objects", "polars null", "polars nan", "pyarrow"],
)
def test_missing_values_of_every_library(data):
    expected = glamm.fit(PLAIN, DATA.drop(index=ROW), "poisson", points=5).llf
    assert glamm.fit(PLAIN, data, "poisson", points=5).llf == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("text", "columns", "name"),
    [
        ("y ~ log + log(pos)", {"x": "log"}, "log"),
        ("y ~ C(C)", {"h": "C"}, "C"),
        ("log(log) ~ x", {"pos": "log"}, "log"),
    ],
)
def test_a_name_that_is_column_and_function_at_once(text, columns, name):
    refuse(DataError, [repr(name), "column", "function", "rename"], text, DATA.rename(columns=columns))


# ------------------------------------------------ the command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables")
    DATA.to_csv(path / "d.csv", index=False)
    (path / "empty.csv").write_text("")
    (path / "head.csv").write_text("y,x\n")
    (path / "bad.parquet").write_text("y,x\n")
    (path / "latin.csv").write_bytes("y,größe\n1,2\n".encode("latin1"))
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["y ~ xx", "--data", "d.csv"], ["no column 'xx'", "mean 'x'"]),
        (["y ~ (1", "--data", "d.csv"], ["never closed"]),
        (["y ~ x", "--data", "d.csv", "--family", "poison"], ["'poison'", "mean 'poisson'"]),
        (["y ~ x", "--data", "d.csv", "--family", "q=poisson"], ["'q'", "responses are y"]),
        (["y ~ x", "--data", "d.csv", "--weights", "ww"], ["no column 'ww'"]),
        (["y ~ x + (1 | g)", "--data", "d.csv", "--points", "1000"], ["points=1000"]),
        (["y ~ x + (1 | g) + (1 | h)", "--data", "d.csv"], ["crossed"]),
        (["y ~ x", "--data", "none.csv"], ["none.csv", "does not exist"]),
        (["y ~ x", "--data", "sedes"], ["'sedes'", "mean 'seeds'"]),
        (["y ~ x", "--data", "d.txt"], ["d.txt", ".csv"]),
        (["y ~ x", "--data", "empty.csv"], ["empty.csv"]),
        (["y ~ x", "--data", "head.csv"], ["no rows"]),
        (["y ~ x", "--data", "bad.parquet"], ["bad.parquet"]),
        (["y ~ x", "--data", "latin.csv"], ["latin.csv", "utf-8"]),
        (["y ~ x", "--data", "d.csv", "--out", "x.txt"], ["x.txt", ".csv or .json"]),
        (["y ~ x", "--data", "d.csv", "--save", "none/x.glamm"], ["no folder"]),
        (["y ~ x", "--data", "d.csv", "--save", "."], ["is a folder"]),
    ],
)
def test_the_command_says_what_is_wrong(folder, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folder)
    assert main(["fit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("glamm: ") and "Traceback" not in err
    for word in words:
        assert word in err


def test_the_command_refuses_points_that_are_no_number(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["fit", "y ~ x", "--data", "seeds", "--points", "0"])
    assert caught.value.code == 2
    assert "'0' is not a whole number" in capsys.readouterr().err


def test_the_command_reports_separation(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    DATA.assign(k=(DATA.x > 0).astype(int)).to_csv("separated.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["fit", "k ~ x", "--data", "separated.csv", "--family", "binomial"]) == 0
    out, err = capsys.readouterr()
    assert "grow without bound" in err and "k ~ x" in out
