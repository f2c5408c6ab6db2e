"""The appendix describes settings, tables, commands and modules as the code does."""

import re
import sys

from exe_core import tables
from exe_core.cli import app
from exe_core.record import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))  # as Sphinx does

from paperbook import reference


def test_settings_tables_and_commands_are_written_from_the_code():
    settings, columns, commands = (
        "\n".join(write()) for write in (reference.settings, reference.columns, reference.commands)
    )
    assert "| `epochs` | `int`, ≥ 1 | `30` | passes over the training faces |" in settings
    assert "| `optimizer` | `Literal['adam', 'adamw']` | `\"adam\"` |" in settings
    assert "| `sets` | [dict[str, Set]](#settings-set) | `{}` |" in settings
    assert "| `title` | `str` | required |" in settings
    assert not re.findall(r"^\|.*\|  \|$", settings + columns, flags=re.MULTILINE)  # no meaning
    assert all(f"## `{name}`" in columns for name in tables.TABLES)
    assert "| `score` | number, ≥ 0, ≤ 1, null | " in columns
    assert "| `split` | text, `train`, `val`, `test` |" in columns
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"## `exe {name}`" in commands
    assert str(ROOT) not in commands
    assert r"configs/\<name>.yml" in commands
