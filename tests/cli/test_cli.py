"""The command: output, files, exit codes; a user's mistake never shows a traceback."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import glamm
from glamm import api, cli

SEEDS = ["fit", "cbind(r, n - r) ~ seed * extract + (1 | plate)", "--data", "seeds", "--family", "binomial"]


@pytest.fixture(scope="module")
def seeds_fit():
    return glamm.fit(SEEDS[1], glamm.data.load("seeds"), "binomial")


def test_fit_prints_the_summary(capsys, seeds_fit):
    assert cli.main(SEEDS) == 0
    out, err = capsys.readouterr()
    assert out == f"{seeds_fit.summary()}\n" and err == ""


def test_quiet_prints_nothing_and_files_are_written(capsys, tmp_path, seeds_fit):
    paths = [tmp_path / name for name in ("a.csv", "a.json", "a.glamm")]
    assert cli.main([*SEEDS, "--quiet", "--out", str(paths[0]), "--save", str(paths[2])]) == 0
    assert cli.main([*SEEDS, "--quiet", "--out", str(paths[1])]) == 0
    assert capsys.readouterr() == ("", "")
    table = pd.read_csv(paths[0], index_col="parameter")
    np.testing.assert_allclose(table["estimate"], seeds_fit.params, rtol=1e-12)
    document = json.loads(paths[1].read_text())
    assert document["fit"]["log_lik"] == pytest.approx(seeds_fit.llf, rel=1e-12)
    assert [row["parameter"] for row in document["parameters"]] == seeds_fit.params.index.tolist()
    assert str(glamm.load(paths[2]).summary()) == str(seeds_fit.summary())


def test_points_and_threads_are_passed_on(capsys):
    assert cli.main([*SEEDS, "--points", "3", "--threads", "1"]) == 0
    assert "adaptive Gauss-Hermite, 3 points\n" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".dta"])
def test_data_from_files(tmp_path, capsys, suffix):
    frame = glamm.data.load("pumps").rename(columns={"time": "hours"})
    path = tmp_path / f"pumps{suffix}"
    write = {".csv": frame.to_csv, ".parquet": frame.to_parquet, ".dta": frame.to_stata}[suffix]
    write(path, **({"write_index": False} if suffix == ".dta" else {"index": False}))
    text = "failures ~ 1 + offset(log(hours)) + (1 | pump)"
    assert cli.main(["fit", text, "--data", str(path), "--family", "poisson"]) == 0
    assert "failures ~ 1" in capsys.readouterr().out


def test_weights_and_families_by_name(capsys):
    text = "score + passed ~ ses + (1 | school)"
    data = [
        "--data",
        "schools",
        "--family",
        "passed=binomial(probit)",
        "--family",
        "score=student_t(identity, df=4)",
    ]
    assert cli.main(["fit", text, *data, "--points", "3"]) == 0
    out = capsys.readouterr().out
    assert "passed ~ binomial(probit)" in out and "score ~ student_t(identity, df=4)" in out
    assert cli.main(["fit", "r ~ seed", "--data", "seeds", "--family", "poisson", "--weights", "n"]) == 0
    assert "Observations:   831" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "r ~ sed", "--data", "seeds", "--family", "poisson"], "did you mean 'seed'"),
        (["fit", "r ~ (1 | plate", "--data", "seeds"], "never closed"),
        (["fit", "r ~ seed", "--data", "seds"], "did you mean 'seeds'"),
        (["fit", "r ~ seed", "--data", "nothing.csv"], "does not exist"),
        (["fit", "r ~ seed", "--data", "seeds", "--family", "poison"], "did you mean 'poisson'"),
        (["fit", "r ~ seed", "--data", "seeds", "--out", "table.txt"], "ends in .csv or .json"),
        (["fit", "r ~ seed", "--data", "seeds", "--save", "no/such/place.glamm"], "there is no folder"),
        (
            ["fit", "r ~ seed", "--data", "seeds", "--family", "poisson", "--family", "r=poisson"],
            "NAME=VALUE",
        ),
        (["fit", "r ~ seed", "--data", "seeds", "--weights", "plat=n"], "plat"),
        (["fit", "r ~ (1 | seed)", "--data", "seeds", "--points", "3,3"], "expected 1 numbers"),
    ],
)
def test_mistakes_are_told_without_a_traceback(capsys, arguments, message):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.startswith("glamm: ") and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [["fit"], ["nothing"], [*SEEDS, "--points", "zero"], [*SEEDS, "--threads", "0"]]
)
def test_misuse_of_the_command_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: glamm" in capsys.readouterr().err


def test_lists(capsys):
    assert cli.main(["data"]) == 0
    assert "seeds" in capsys.readouterr().out
    assert cli.main(["families"]) == 0
    out = capsys.readouterr().out
    assert "binomial" in out and "links: " in out
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"glamm {glamm.__version__}\n"
    assert cli.main([]) == 2
    assert "usage: glamm" in capsys.readouterr().out


def test_ctrl_c_prints_the_best_point_so_far(capsys, monkeypatch, tmp_path):
    def stop(step):
        if step.number == 1:
            raise KeyboardInterrupt

    fit = api.Model.fit
    monkeypatch.setattr(api.Model, "fit", lambda self, **options: fit(self, **(options | {"progress": stop})))
    path = tmp_path / "table.csv"
    assert cli.main([*SEEDS, "--out", str(path)]) == 130
    out, err = capsys.readouterr()
    assert "Converged:      NO" in out and "interrupted" in err
    assert len(pd.read_csv(path)) == 5


def test_ctrl_c_before_the_fit(capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "Model", stop)
    assert cli.main(SEEDS) == 130
    assert capsys.readouterr().err == "glamm: interrupted\n"


def test_the_command_in_a_process_of_its_own():
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-P", "-m", "glamm.cli", *SEEDS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sd(1" not in done.stdout and "plate   (Intercept)" in done.stdout
