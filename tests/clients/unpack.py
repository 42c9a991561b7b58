"""Takes the one collection that is played here out of the wheel of `ansible`, which holds a hundred, and removes the wheel.

    python tests/clients/unpack.py WHEELS TARGET

`make` calls it while it prepares the environment of the foreign clients. WHEELS is the folder into which pip has put the
wheels whose hashes it has checked; TARGET becomes a folder that Ansible can be pointed at. Nothing but Python is needed.
"""

import sys
import zipfile
from pathlib import Path

PACKAGE = "ansible-*.whl"
WANTED = "ansible_collections/ngine_io/cloudstack/"


def unpack(wheels: Path, target: Path) -> int:
    """Unpacks the collection; returns how many files it has."""
    (wheel,) = wheels.glob(PACKAGE)
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.startswith(WANTED)]
        archive.extractall(target, members)
    wheel.unlink()
    return len(members)


if __name__ == "__main__":
    sys.exit(
        0 if unpack(Path(sys.argv[1]), Path(sys.argv[2])) else "the wheel of ansible lacks the collection for CloudStack"
    )
