"""The command ``glamm``: fit a model to a table in a file, list the data sets and the families.

Exit codes: 0 the model was fitted (converged or not, the summary says so), 2 a mistake in what was
given, 130 interrupted; an interrupted fit still prints and writes its best point so far.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glamm.errors import DataError, GlammError, Problem, nearest

if TYPE_CHECKING:
    from glamm.results.result import Result

__all__ = ["main"]

MISTAKE = 2
INTERRUPTED = 130

EXAMPLES = """\
examples:
  glamm fit "cbind(r, n - r) ~ seed * extract + (1 | plate)" --data seeds --family binomial
  glamm fit "y ~ x + (1 + x | school/class)" --data pupils.csv --out estimates.csv
  glamm fit "y1 + y2 ~ x + (1 | id)" --data d.parquet --family y1=binomial --family y2=poisson
"""


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _points(text: str) -> str | int | tuple[int, ...]:
    if text == "auto":
        return text
    numbers = tuple(_positive(part.strip()) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glamm",
        description="Generalized linear latent and mixed models.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    fit = commands.add_parser(
        "fit",
        help="fit a model and print its summary",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument("model", help="the model text, as in lme4: 'y ~ x + (1 | group)'")
    fit.add_argument(
        "--data", required=True, metavar="FILE", help=".csv, .parquet or .dta, or a built-in data set's name"
    )
    fit.add_argument(
        "--family",
        action="append",
        metavar="FAMILY",
        help="family and link, e.g. 'binomial' or 'ordinal(probit)'; RESPONSE=FAMILY for one of several "
        "responses (default: gaussian)",
    )
    fit.add_argument(
        "--points",
        type=_points,
        default="auto",
        metavar="K",
        help="integration points, or a number a level, lowest first: 9,5 (default: auto)",
    )
    fit.add_argument(
        "--weights",
        action="append",
        metavar="COLUMN",
        help="column of frequency weights of the rows; LEVEL=COLUMN for clusters of a level",
    )
    fit.add_argument("--threads", type=_positive, metavar="N", help="threads (default: chosen by size)")
    fit.add_argument("--out", type=Path, metavar="FILE", help="write the parameter table (.csv or .json)")
    fit.add_argument("--save", type=Path, metavar="FILE", help="save the fit for glamm.load (.glamm)")
    fit.add_argument("--quiet", action="store_true", help="no progress, no summary")
    commands.add_parser("data", help="list the built-in data sets")
    commands.add_parser("families", help="list the families, links and latent distributions")
    return parser


def _assignments(given: Sequence[str] | None, what: str) -> str | dict[str, str] | None:
    """Return ``value`` for one plain value, a mapping where values are written ``name=value``."""
    if not given:
        return None
    named: dict[str, str] = {}
    plain: list[str] = []
    for text in given:
        # an "=" inside parentheses belongs to the value: student_t(df=4)
        head, sign, tail = text.partition("=")
        if (sign and "(" not in head) or (sign and head.count("(") == head.count(")")):
            named[head.strip()] = tail.strip()
        else:
            plain.append(text)
    if plain and (named or len(plain) > 1):
        raise DataError(f"{what} is given both for everything and by name; write NAME=VALUE for each")
    return named or plain[0]


def _read(source: str) -> Any:
    """Return the data frame in the file `source`, or the built-in data set of that name."""
    from glamm import data

    if Path(source).is_file():
        return data.read(source)
    if source in data.names():
        return data.load(source)
    if Path(source).suffix:
        return data.read(source)
    hint = nearest(source, data.names()) or f"the built-in data sets are {', '.join(data.names())}"
    raise DataError(Problem(f"there is no file and no built-in data set {source!r}", hint=hint))


def _write_table(result: Result, path: Path) -> None:
    table = result.tidy()
    if path.suffix.lower() == ".csv":
        table.to_csv(path)
        return
    rows = json.loads(table.reset_index().to_json(orient="records", double_precision=15))
    fit = json.loads(result.glance().to_json(orient="records", double_precision=15))[0]
    path.write_text(json.dumps({"fit": fit, "parameters": rows}, indent=1) + "\n", encoding="utf-8")


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse a file that cannot be written before the fit, not after it."""
    if arguments.out is not None and arguments.out.suffix.lower() not in (".csv", ".json"):
        raise DataError(f"--out {arguments.out}: expected a name that ends in .csv or .json")
    for path in (arguments.out, arguments.save):
        if path is not None and not path.absolute().parent.is_dir():
            raise DataError(f"cannot write {path}: there is no folder {path.absolute().parent}")
        if path is not None and path.is_dir():
            raise DataError(f"cannot write {path}: it is a folder")


def _fit(arguments: argparse.Namespace) -> int:
    from glamm import api

    _check_outputs(arguments)
    family = _assignments(arguments.family, "--family")
    weights = _assignments(arguments.weights, "--weights")
    model = api.Model(arguments.model, _read(arguments.data), family=family, weights=weights)
    with warnings.catch_warnings():
        # the summary, or the line below, says how the fit ended
        warnings.simplefilter("ignore", api.ConvergenceWarning)
        result = model.fit(
            points=arguments.points,
            progress=False if arguments.quiet else None,
            threads=arguments.threads,
        )
    if not result.converged:
        print(f"glamm: the fit has {result.status}", file=sys.stderr)
    if not arguments.quiet:
        print(result.summary())
    if arguments.out is not None:
        _write_table(result, arguments.out)
    if arguments.save is not None:
        result.save(arguments.save)
    return INTERRUPTED if result.interrupted else 0


def _list_data() -> int:
    from glamm import data

    for name in data.names():
        frame = data.load(name)
        print(f"{name:<16}{len(frame):>7} rows  {', '.join(map(str, frame.columns))}")
    return 0


def _list_families() -> int:
    from glamm import registry

    for group in ("families", "links", "latents"):
        print(f"{group}: {', '.join(sorted(registry.names(group)))}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.version:
            from glamm import __version__

            print(f"glamm {__version__}")
            return 0
        if arguments.command == "fit":
            return _fit(arguments)
        if arguments.command == "data":
            return _list_data()
        if arguments.command == "families":
            return _list_families()
    except GlammError as error:
        print(f"glamm: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("glamm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went away (head, less); nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    parser.print_help()
    return MISTAKE


if __name__ == "__main__":
    sys.exit(main())
