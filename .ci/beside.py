"""``beside.py ENVIRONMENT PYTHON LOCK``: create an environment with what LOCK pins.

Of LOCK counts what goalfsm, its extras and its tests need, which are the names in floors.lock. What
.venv has in the same version, in a form that PYTHON reads, is linked; the rest is fetched. The
status is 3 where a part of that has no wheel for PYTHON.
"""

import re
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent


def pins(lock: Path) -> list[tuple[str, str]]:
    """Return the names and the pins of a lock file; a name has several where Pythons differ."""
    found: list[str] = re.findall(r"^\S+==.*(?:\n +.*)*", lock.read_text("utf-8"), re.MULTILINE)
    return [(pin.partition("==")[0], pin) for pin in found]


def normal(name: str) -> str:
    """Return the name of a distribution as lock files write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def portable(found: Distribution) -> bool:
    """Tell whether any Python can read what ``found`` consists of."""
    return re.search(r"-(none|abi3)-", found.read_text("WHEEL") or "") is not None


def fetch(venv: Path, wanted: list[str]) -> None:
    """Install these pins."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "pins")
        file.write_text("\n".join(wanted), "utf-8")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--python", venv, "install", "--quiet"),
                *("--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps"),
                *("--only-binary", ":all:", "--require-hashes", "--requirement", file),
            ],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.stderr.write(done.stderr)
        sys.exit(3 if "No matching distribution found" in done.stderr else 1)


def main() -> None:
    """Create it."""
    venv, lock = (Path(argument).resolve() for argument in (sys.argv[1], sys.argv[3]))
    subprocess.run([sys.argv[2], "-m", "venv", "--clear", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    (own,) = venv.glob("lib/python3*/site-packages")
    alike = own.parent.name == f"python{sysconfig.get_python_version()}"

    needed = {"goalfsm", *(name for name, _ in pins(HERE / "floors.lock"))}
    have = {
        normal(found.name): found
        for found in distributions(path=[sysconfig.get_path("purelib")])
        if alike or (normal(found.name) in needed and portable(found))
    }
    held = {f"{name}=={found.version}" for name, found in have.items()}
    fetch(venv, [pin for name, pin in pins(lock) if name in needed and pin.split()[0] not in held])
    fetched = {normal(found.name) for found in distributions(path=[str(own)])}
    for name in have.keys() - fetched:
        for top in {path.parts[0] for path in have[name].files or ()} - {"..", "__pycache__"}:
            if not (own / top).exists():
                (own / top).symlink_to(Path(str(have[name].locate_file(top))))

    script = Path(sys.prefix, "bin", "goalfsm").read_text("utf-8")
    command = python.with_name("goalfsm")
    command.write_text(re.sub(r"\A#!.*", f"#!{python}", script), "utf-8")
    command.chmod(0o755)
    subprocess.run([command, "--version"], stdout=subprocess.DEVNULL, check=True)
    (venv / ".ready").touch()


if __name__ == "__main__":
    main()
