"""What storage and operators do to files: a flipped bit, a file cut short, a lost file, an older copy restored."""

import shutil
from pathlib import Path
from random import Random

from sessions_platform_tests.faults.trial import Trial


def lake_files(trial: Trial, asset: str = "") -> list[Path]:
    """The Parquet files of the lake, of one asset or of all, in an order that does not depend on their names."""
    files = (file for file in trial.settings.lake.rglob("*.parquet") if asset in file.parts or not asset)
    return sorted(files, key=lambda file: (file.parent, file.stat().st_size))


def flip_a_bit(file: Path, random: Random) -> str:
    """Change one bit of a file; says which."""
    content = bytearray(file.read_bytes())
    place, bit = random.randrange(len(content)), random.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"bit {bit} of byte {place} of {len(content)} in {file.parent.parent.name}"


def truncate(file: Path, random: Random) -> str:
    """Cut a file short; says where."""
    size = file.stat().st_size
    left = random.randrange(size)
    with file.open("r+b") as handle:
        handle.truncate(left)
    return f"{left} of {size} bytes left in {file.parent.parent.name}"


def restore_lake(trial: Trial, older: Path) -> None:
    """Replace the lake by an older copy."""
    shutil.rmtree(trial.settings.lake)
    shutil.copytree(older, trial.settings.lake)
