"""The appendix describes settings, tables, commands and modules as the code does."""

import re
import sys

import pytest
from test_book_ext import build, make_book_folder, text_of

from exe_core import tables
from exe_core.cli import app
from exe_core.record import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))  # as Sphinx does

from paperbook import reference

LISTED = re.search(r"\{reference\} api (.+)", (ROOT / "book" / "api.md").read_text())[1].split()
MODULE = '''\
"""A module.

Of two paragraphs, with a<b.
"""


def area(width: float, *, height: float = 1.0) -> float:
    """Compute the area.

    >>> area(2.0)
    2.0

    Parameters
    ----------
    width
        In m, see `height`.
    """
    return width * height


class Box:
    """A box."""

    @property
    def side(self) -> float:
        """Give its side."""
        return 1.0

    def grown(self, by: float) -> "Box":
        """Give a larger one."""
        return self

    def _hidden(self):
        return None
'''


def test_settings_tables_and_commands_are_written_from_the_code():
    settings, columns, commands = (
        "\n".join(write()[0])
        for write in (reference.settings, reference.columns, reference.commands)
    )
    assert "| `epochs` | `int`, ≥ 1 | `30` | passes over the training faces |" in settings
    assert "| `optimizer` | `Literal['adam', 'adamw']` | `\"adam\"` |" in settings
    assert "| `runs` | [dict[str, Run]](#settings-run) | required |" in settings
    assert not re.findall(r"^\|.*\|  \|$", settings + columns, flags=re.MULTILINE)  # no meaning
    assert all(f"## `{name}`" in columns for name in tables.TABLES)
    assert "| `score` | number, ≥ 0, ≤ 1, null | " in columns
    assert "| `split` | text, `train`, `val`, `test` |" in columns
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"## `exe {name}`" in commands
    assert str(ROOT) not in commands
    assert r"configs/\<name>.yml" in commands


def test_a_module_is_described_by_its_docstrings(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    path = tmp_path / "exe_core" / "boxes.py"
    path.parent.mkdir()
    path.write_text(MODULE)
    text = "\n".join(reference.api(["boxes"])[0])
    assert "## exe_core.boxes" in text
    assert r"Of two paragraphs, with a\<b." in text
    assert "{py:function} area(width: float, *, height: float=1.0) -> float" in text
    assert "```python\n>>> area(2.0)\n2.0\n```" in text
    assert "**Parameters**\n\n`width`\n: In m, see `height`." in text
    assert "{py:property} Box.side" in text
    assert "{py:method} Box.grown(by: float) -> 'Box'" in text
    assert "hidden" not in text
    path.write_text('"""A module."""\n\n\ndef bare():\n    return None\n')
    with pytest.raises(ValueError, match=r"boxes\.bare has no docstring"):
        reference.api(["boxes"])


def test_the_pages_build_without_a_warning_and_an_unknown_kind_does_not(tmp_path):
    kinds = {"settings": "", "tables": "", "commands": "", "api": " ".join(LISTED)}
    pages = {kind: f"# A\n```{{reference}} {kind} {of}\n```\n" for kind, of in kinds.items()}
    make_book_folder(tmp_path / "good", {"index": "# Index\n", **pages})
    done = build(tmp_path / "good")
    assert done.returncode == 0, done.stdout + done.stderr
    for module in LISTED:
        assert f"exe_core.{module}" in text_of(tmp_path / "good", "api")
    make_book_folder(
        tmp_path / "bad", {"index": "# Index\n", "all": "# All\n```{reference} all\n```\n"}
    )
    done = build(tmp_path / "bad")
    assert "all is none of settings, tables, commands, api" in done.stdout + done.stderr
