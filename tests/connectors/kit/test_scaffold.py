"""A new connector runs as it is written; what is left to do fails by name."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from canonical_model.errors import ConfigurationError
from connectors.kit.scaffold import scaffold

ROOT = Path(__file__).parents[3]
ROOMS = ("canonical_model", "connectors", "flows", "mappings")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree that is ours but for what the scaffold adds."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        for part in (ROOT / room).iterdir():
            (tmp_path / room / part.name).symlink_to(part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run_tests(tree: Path) -> str:
    command = [sys.executable, "-m", "pytest", "tests/connectors", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=100).stdout


def test_a_scaffold_lacks_only_its_verdicts_and_then_passes(tree: Path) -> None:
    files = scaffold("loyalty_mall", tree)
    assert all(file.is_file() for file in files)
    before = run_tests(tree)
    assert "1 failed" in before
    assert "test_the_quality_scale_is_settled" in before
    manifest = tree / "connectors/loyalty_mall/manifest.toml"
    manifest.write_text(manifest.read_text().replace('= "todo"', '= "done"'))
    after = run_tests(tree)
    assert "failed" not in after, after
    assert "passed" in after


@pytest.mark.parametrize("name", ["", "a", "CRM", "9lives", "two words", "../up", "class", "kit", "x" * 31, "crm\n"])
def test_a_name_that_is_no_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot name"):
        scaffold(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    readme = tmp_path / "connectors/crm/README.md"
    readme.parent.mkdir(parents=True)
    readme.write_text("ours")
    with pytest.raises(ConfigurationError, match="exists already"):
        scaffold("crm", tmp_path)
    assert readme.read_text() == "ours"
    assert not (tmp_path / "mappings").exists()
