"""What ``pip install`` brings: every file of the hub, nothing else, and the command."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("canonical_model", "connectors", "flows", "hub_api", "mappings", "vision_adapter")


def test_the_wheel_carries_every_file_of_the_hub(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        entry_points = wheel.read("yipan-0.1.0.dist-info/entry_points.txt").decode()
    wanted = {str(file.relative_to(ROOT)) for room in ROOMS for file in (ROOT / room).rglob("*") if file.is_file()}
    assert packed == {name for name in wanted if "__pycache__" not in name}
    assert "yipan = hub_api.cli:main" in entry_points
