"""The verifier of the release check: it believes no record, it looks at what is there."""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import zipfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from csv import reader
from hashlib import sha256
from pathlib import Path
from tarfile import TarError
from typing import Final
from zipfile import BadZipFile

from goalfsm.examples.release_steps import STEPS, StepError, Workspace, command, digest, one

_DAMAGED: Final = (BadZipFile, TarError, EOFError, zlib.error)
"""What reading an archive raises that is not whole."""


def main() -> int:
    """Exit with 0 when everything that the goal asks for is there; else print what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    space = Workspace(given.source.resolve(), given.work.resolve())
    try:
        gaps = list(gaps_in(space))
    except (StepError, OSError, LookupError, ValueError, *_DAMAGED) as error:
        gaps = [f"{type(error).__name__}: {error}"]
    for gap in gaps:
        sys.stdout.write(f"{gap}\n")
    if not gaps:
        sys.stdout.write("the artefacts are what the manifest says, and the wheel runs\n")
    return 1 if gaps else 0


def gaps_in(space: Workspace) -> Iterator[str]:
    """Yield what is missing or wrong."""
    for step in STEPS:
        if space.record(step.name) is None:
            yield f"the step {step.name} is not done"
            return
    wheel, sdist = one("*.whl", space.dist), one("*.tar.gz", space.dist)
    listed = json.loads(space.manifest.read_text("utf-8"))
    if sorted(listed["files"]) != sorted(path.name for path in space.dist.iterdir()):
        yield "the manifest does not list what is there"
    for path in (wheel, sdist):
        entry = listed["files"].get(path.name, {})
        if entry.get("bytes") != path.stat().st_size or entry.get("sha256") != digest(path):
            yield f"{path.name} is not the file that the manifest lists"
    yield from _damaged(wheel)
    with tarfile.open(sdist) as archive:
        if not any(name.endswith("/pyproject.toml") for name in archive.getnames()):
            yield "the sdist cannot be built: it has no pyproject.toml"
    version = command(space.venv / "bin" / "goalfsm", "--version").split()[-1]
    if version != listed["version"] or f"-{version}-" not in wheel.name:
        yield f"the installed program says {version}, the manifest {listed['version']}"


def _damaged(wheel: Path) -> Iterator[str]:
    """Yield the files of a wheel that are not what its own record says."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        for name, hashed, size in reader(archive.read(record).decode().splitlines()):
            if not hashed:
                continue
            data = archive.read(name)
            found = urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
            if hashed != f"sha256={found}" or int(size) != len(data):
                yield f"{name} in the wheel is not what its record says"


if __name__ == "__main__":
    sys.exit(main())
