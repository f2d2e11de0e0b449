"""The README's Python is run, in order, and prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
# what these lines say of rounding errors differs between machines
ROUNDING = ("estimated error", "Converged:")


def lines(text):
    return [line.rstrip() for line in text.splitlines() if not any(word in line for word in ROUNDING)]


def test_examples_print_what_stands_below_them():
    assert len(BLOCKS) == README.count("```python")
    names = {}
    for code, printed in BLOCKS:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), names)
        assert lines(out.getvalue()) == lines(printed)
