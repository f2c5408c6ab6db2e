"""Prose, docstrings and comments hold no word that is commonly misspelt."""

import subprocess
import sys

from exe_core.study import ROOT


def test_no_common_misspelling():
    listed = ["git", "-C", str(ROOT), "grep", "-lI", "", "--", ".", ":!data/frozen"]
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n")
    command = [sys.executable, "-m", "codespell_lib", *filter(None, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
