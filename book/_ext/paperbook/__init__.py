"""The book's Sphinx extension: numbers, figures and tables of a study, cited by name.

Its roles and directives read the results of the study that the environment variable `EXE_STUDY`
names. A missing key, figure or table is an error, and every file read is noted as a dependency.
"""

from __future__ import annotations

import os
from pathlib import Path

from sphinx.application import Sphinx

from exe_core.record import digest
from paperbook import figures, panel, reference, results, site, tables


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension with Sphinx."""
    app.add_config_value("paper_study", os.environ.get("EXE_STUDY", "demo"), "env", str)
    for part in (results, panel, figures, tables, reference, site):
        part.register(app)
    # Pages read by an older version of this code are read again.
    code = digest(*sorted(Path(__file__).parent.glob("*.*")))
    return {"version": "1", "env_version": int(code[:8], 16)}
