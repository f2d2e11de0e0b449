"""Time whole fits, from formula to printed summary, of glamm and of the programs installed beside it.

    python benchmarks/run.py                       # everything, some minutes
    python benchmarks/run.py --quick               # without the large problems
    python benchmarks/run.py --only cbpp --json out.json

Each program runs each problem in a process of its own. Times are quantiles over repeated fits: the
smallest of many readings picks glitches of the clock. Nothing fails because it is slow: a program that
takes longer than ``--limit`` seconds is reported as such.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from problems import PROBLEMS, Problem
from programs import PYTHON_PROGRAMS, can_fit, installed, run_r

LARGE = (
    "logit 100,000 x 10",
    "Gaussian 10,000 x 10",
    "two-level factors 2,000 x 25 x 6",
    "logit 10,000 x 10",
    "factors 1,000,000 x 9",
    "2PL 10,000 x 100",
)


def peak_bytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure(program: str, problem: Problem, seconds: float) -> dict:
    """Return times, log-likelihood and memory of a Python program, in this process."""
    warnings.simplefilter("ignore")
    data = problem.data()
    fit = PYTHON_PROGRAMS[program](problem, data)
    before = peak_bytes()
    times: list[float] = []
    value = float("nan")
    # the first fit also loads what is imported late; it counts only where there is no time for others
    while len(times) < 26:
        start = time.perf_counter()
        value = fit()
        times.append(time.perf_counter() - start)
        if times[0] > 10 * seconds or (len(times) > 3 and sum(times[1:]) > seconds):
            break
    size = float(data.memory_usage(deep=True).sum())
    used = times[1:] if len(times) > 1 else times
    return {"times": used, "loglik": value, "peak": peak_bytes() - before, "data": size}


def record(program: str, problem: Problem, seconds: float, limit: float) -> dict:
    """Return the record of a program, measured in another process."""
    try:
        if program not in PYTHON_PROGRAMS:
            return run_r(program, problem, problem.data(), seconds, limit)
        command = [sys.executable, __file__, "--one", program, problem.name, "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
        if done.returncode:
            return {"failed": done.stderr.strip().splitlines()[-1][:60]}
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": f"over {limit:g} s"}
    except RuntimeError as error:
        return {"failed": str(error)[:60]}


def line(program: str, found: dict, own: dict) -> str:
    if "failed" in found:
        return f"  {program:14s} {found['failed']}"
    low, middle = np.quantile(found["times"], [0.1, 0.5])
    value = "" if found["loglik"] is None else f"{found['loglik']:.6f}"
    memory = f"{found['peak'] / 2**20:7.0f} MB"
    ratio = ""
    if "times" in own and program != "glamm":
        ratio = f"{middle / np.median(own['times']):8.1f} x"
    return f"  {program:14s} {low * 1e3:10.1f} {middle * 1e3:10.1f} ms {memory} {value:>18s} {ratio}"


def shown(problem: Problem) -> str:
    """Return the formula, of long ones the beginning."""
    first, *rest = problem.formula.splitlines()
    return f"{first[:60]} ..." if rest or len(first) > 80 else first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", metavar="PROBLEM", help="name or its beginning")
    parser.add_argument("--quick", action="store_true", help="small problems only")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for repeats of a fit")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a program is stopped")
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--one", nargs=2, metavar=("PROGRAM", "PROBLEM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        program, name = options.one
        (problem,) = (p for p in PROBLEMS if p.name == name)
        print(json.dumps(measure(program, problem, options.seconds)))
        return
    chosen = [p for p in PROBLEMS if not (options.quick and p.name in LARGE)]
    if options.only:
        chosen = [p for p in chosen if any(p.name.startswith(word) for word in options.only)]
    print("programs: " + ", ".join(installed()))
    records: dict[str, dict] = {}
    for problem in chosen:
        print(f"\n{problem.name} ({problem.source()}): {shown(problem)}, {problem.points} points")
        print(f"  {'':14s} {'10 %':>10s} {'median':>10s}    {'memory':>10s} {'log-likelihood':>18s}    ratio")
        own: dict = {}
        for program in installed():
            if not can_fit(program, problem):
                continue
            found = record(program, problem, options.seconds, options.limit)
            own = found if program == "glamm" else own
            records.setdefault(problem.name, {})[program] = found
            print(line(program, found, own), flush=True)
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
