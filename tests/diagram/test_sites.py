"""Small sites, built for real by Sphinx and by MkDocs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.diagram import named, render

MACHINE = """
from transitions import Machine

machine = Machine(model=None, states=["a <b>", "end"], initial="a <b>", auto_transitions=False)
machine.add_transition("go", "a <b>", "end", conditions="is_ready", before="tell")
"""


def built(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# Sphinx.


@pytest.fixture
def book(tmp_path: Path) -> Path:
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    (tmp_path / "users_machine.py").write_text(MACHINE)
    (tmp_path / "conf.py").write_text('project = "Book"\nextensions = ["goalfsm.diagram.sphinx"]\n')
    return tmp_path


def sphinx(folder: Path, builder: str = "html") -> subprocess.CompletedProcess[str]:
    return built(folder, "sphinx", "-q", "-W", "-b", builder, ".", f"_build/{builder}")


BOOK = """
Book
====

.. goalfsm-diagram:: users_machine:machine
   :direction: LR
   :effects:
   :highlight: end
   :caption: How *it* goes
   :name: how
   :class: wide

.. goalfsm-diagram:: goal
   :format: table
   :no-guards:

.. goalfsm-diagram:: run
   :format: mermaid
   :title: A run

See :ref:`how`.
"""


def test_sphinx_puts_pictures_tables_and_sources_into_html(book: Path) -> None:
    (book / "index.rst").write_text(BOOK)
    result = sphinx(book)
    assert (result.returncode, result.stderr) == (0, "")
    page = (book / "_build" / "html" / "index.html").read_text()
    assert page.count("<svg ") == 1
    assert "a &lt;b&gt;" in page
    assert 'class="effect">/ before tell' in page
    assert re.search(r'class="node state( final)? now"', page)
    assert "How <em>it</em> goes" in page
    assert 'id="how"' in page
    assert "goalfsm-diagram wide" in page
    assert "recovery_shutdown_pause" in page
    assert "under_budget" not in page
    assert "stateDiagram-v2" in page


def test_sphinx_gives_the_table_where_no_picture_can_be(book: Path) -> None:
    (book / "index.rst").write_text(
        "Book\n====\n\n.. goalfsm-diagram:: users_machine:machine\n   :effects:\n"
    )
    result = sphinx(book, "text")
    assert (result.returncode, result.stderr) == (0, "")
    page = (book / "_build" / "text" / "index.txt").read_text()
    assert "<svg" not in page
    for word in ("Trigger", '"go"', '"a <b>"', '"end"', '"is_ready"', '"tell"'):
        assert word in page


def test_sphinx_hands_mermaid_to_the_extension_that_draws_it(book: Path) -> None:
    """Where it is loaded, before or after ours; elsewhere the source is shown as it is."""
    pytest.importorskip("sphinxcontrib.mermaid", reason="sphinxcontrib-mermaid is not installed")
    (book / "conf.py").write_text(
        'project = "Book"\nextensions = ["goalfsm.diagram.sphinx", "sphinxcontrib.mermaid"]\n'
    )
    (book / "index.rst").write_text(
        "Book\n====\n\n.. goalfsm-diagram:: goal\n   :format: mermaid\n   :caption: The goal\n"
    )
    result = sphinx(book)
    assert (result.returncode, result.stderr) == (0, "")
    page = (book / "_build" / "html" / "index.html").read_text()
    assert re.search(r'<pre[^>]* class="mermaid">\s*---\ntitle: &quot;The goal machine', page)
    assert "highlight-text" not in page


def test_sphinx_draws_again_when_the_machine_changes(book: Path) -> None:
    (book / "index.rst").write_text("Book\n====\n\n.. goalfsm-diagram:: users_machine:machine\n")
    assert sphinx(book).returncode == 0
    machine = book / "users_machine.py"
    machine.write_text(MACHINE.replace('"go"', '"leave"'))
    later = machine.stat().st_mtime + 10
    os.utime(machine, (later, later))
    assert sphinx(book).returncode == 0
    assert ">leave<" in (book / "_build" / "html" / "index.html").read_text()


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        (".. goalfsm-diagram:: gaol", "did you mean 'goal'?"),
        (".. goalfsm-diagram:: users_machine:zzz", "there is no 'zzz'"),
        (".. goalfsm-diagram:: no_such.module:x", "cannot import no_such.module"),
        (".. goalfsm-diagram:: goal\n   :highlight: zzz", "unknown state 'zzz'"),
        (".. goalfsm-diagram:: goal\n   :format: png", '"png" unknown'),
    ],
)
def test_sphinx_says_what_is_wrong_and_where(book: Path, directive: str, said: str) -> None:
    (book / "index.rst").write_text(f"Book\n====\n\n{directive}\n")
    result = sphinx(book)
    assert result.returncode != 0
    assert said in result.stderr
    assert "index.rst:4" in result.stderr


# MkDocs.


@pytest.fixture
def site(tmp_path: Path) -> Path:
    pytest.importorskip("mkdocs", reason="MkDocs is not installed")
    (tmp_path / "docs").mkdir()
    (tmp_path / "users_machine.py").write_text(MACHINE)
    (tmp_path / "hooks.py").write_text("from goalfsm.diagram.mkdocs import on_page_markdown\n")
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: Site\nhooks: [hooks.py]\nmarkdown_extensions: [tables, fenced_code]\n"
    )
    return tmp_path


def mkdocs(folder: Path) -> subprocess.CompletedProcess[str]:
    return built(folder, "mkdocs", "build", "--strict", "--quiet")


SITE = """
# Site

```goalfsm-diagram
users_machine:machine
direction=LR effects=yes
```

- in a list

    ~~~ goalfsm-diagram
    goal format=table
    ~~~

<!-- goalfsm:diagram recovery format=table -->
stale
<!-- /goalfsm:diagram -->

```goalfsm-diagram
run format=mermaid
```

```md
    not a diagram
```
"""


def test_mkdocs_draws_fences_and_refreshes_blocks(site: Path) -> None:
    (site / "docs" / "index.md").write_text(SITE)
    result = mkdocs(site)
    assert (result.returncode, result.stderr) == (0, "")
    page = (site / "site" / "index.html").read_text()
    drawn = render(named("run"))
    assert page.count('<figure class="goalfsm-diagram">') == page.count("<svg ") == 1
    assert "a &lt;b&gt;" in page
    assert 'class="effect">/ before tell' in page
    assert page.count("<table>") == 4
    assert "begin_overflow" in page
    assert ">stale<" not in page
    assert '<code class="language-mermaid">' in page
    assert drawn.splitlines()[3] in page
    assert "goalfsm-diagram\n" not in page


def test_mkdocs_leaves_other_pages_alone(site: Path) -> None:
    (site / "docs" / "index.md").write_text("# Site\n\n```python\nx = 1\n```\n")
    assert mkdocs(site).returncode == 0
    assert "goalfsm" not in (site / "site" / "index.html").read_text()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```goalfsm-diagram\ngaol\n```\n", "did you mean 'goal'?"),
        ("```goalfsm-diagram\ngoal size=3\n```\n", "unknown option 'size=3'"),
        ("<!-- goalfsm:diagram goal -->\n", "this block is never closed"),
    ],
)
def test_mkdocs_stops_and_says_what_is_wrong(site: Path, page: str, said: str) -> None:
    (site / "docs" / "index.md").write_text(f"# Site\n\n{page}")
    result = mkdocs(site)
    assert result.returncode != 0
    assert said in result.stderr + result.stdout
    assert "index.md" in result.stderr + result.stdout
