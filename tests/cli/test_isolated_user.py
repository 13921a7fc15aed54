"""An isolated run of a user without privileges: it reaches no more than one of root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from goalfsm.workers.supervisor import isolation
from goalfsm.workers.supervisor.launching import ROOT
from tests.cli.workers import COMPLETE

pytestmark = pytest.mark.skipif(
    isolation.is_possible() != "", reason="this machine allows no namespaces"
)

# Makes the interpreter and goalfsm reachable for everybody, in a mount namespace of its own.
REACHABLE = """
import os, subprocess, sys
stash, script = sys.argv[1:3]
needed = sorted({os.path.realpath(p) for p in sys.argv[3:]})
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
for at, path in enumerate(needed):
    os.mkdir(f"{stash}/{at}")
    subprocess.run(["mount", "--bind", path, f"{stash}/{at}"], check=True)
for at, path in enumerate(needed):
    parts = path.split("/")
    for end in range(2, len(parts)):
        above = "/".join(parts[:end])
        if os.path.isdir(above) and not os.stat(above).st_mode & 0o001:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", above], check=True)
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "--bind", f"{stash}/{at}", path], check=True)
nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
os.execvp("setpriv", [*nobody, "sh", "-c", script])
"""


def test_a_user_without_privileges_is_isolated_as_well() -> None:
    asked = ["setpriv", "--reuid=65534", "--clear-groups", "unshare", "-Ump", "true"]
    if os.getuid() != 0 or subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip("only for root, where user namespaces are allowed")
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        work, home, stash = place / "work", place / "home", place / "stash"
        lines = (
            'env -i PATH="$PATH" goalfsm tool get_goal > got.txt',
            "ls -A $(dirname $GOALFSM_DB) > seen.txt",
            "ls -d /proc/[0-9]* | wc -l > processes.txt",
            "unshare -Urm umount $(dirname $GOALFSM_DB) && echo open > unmounted.txt",
            "rm $HOME/.local || unshare -Urm sh -c 'umount $HOME/.local; rm $HOME/.local'",
            "goalfsm complete --evidence trust 2> refused.txt",
            COMPLETE,
        )
        for each in (work, home, place / "kept"):
            each.mkdir()
            os.chown(each, 65534, 65534)
        (home / ".local").symlink_to("../kept")
        stash.mkdir()
        place.chmod(0o755)
        program = work / "w.sh"
        program.write_text("\n".join(("#!/bin/sh", "cat > /dev/null", *lines, "")))
        program.chmod(0o755)
        script = (
            f"cd {work} && exec env -i HOME={home} PATH=$PATH "
            f"{sys.executable} -m goalfsm.cli run 'do it' --isolate -- ./w.sh"
        )
        needed = [sys.base_prefix, sys.prefix, ROOT]
        done = subprocess.run(
            ["unshare", "-m", "--", sys.executable, "-c", REACHABLE, str(stash), script, *needed],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done
        assert "do it" in (work / "got.txt").read_text()
        assert (work / "seen.txt").read_text() == ""
        assert int((work / "processes.txt").read_text()) < 10
        assert not (work / "unmounted.txt").exists()
        assert (home / ".local").is_symlink()
        assert "no person" in (work / "refused.txt").read_text()
    finally:
        shutil.rmtree(place)
        shutil.rmtree("/tmp/goalfsm-65534", ignore_errors=True)  # noqa: S108  where its engine was
