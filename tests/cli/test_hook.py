"""`failover hook check` as the author of a hook has it."""

from __future__ import annotations

from tests.cli.world import ROOT, House
from tests.reconciler.hooks.making import WORKING, hook

EXAMPLE = str(ROOT / "examples" / "hooks" / "nothing.py")
KEPT, ERROR, BROKEN = 0, 1, 3


def test_the_example_keeps_the_contract_and_the_log_is_where_it_is_said(house: House) -> None:
    told = house.run("hook", "check", EXAMPLE)
    assert (told.code, told.err) == (KEPT, "")
    assert told.out.splitlines()[-1] == "nothing.py keeps the contract; what it wrote besides is in hook.log"
    assert all(line.startswith("= ") for line in told.out.splitlines()[:-1])
    assert "refused: " in (house.folder / "hook.log").read_text(encoding="utf-8")


def test_one_that_breaks_it_is_told_which_promise(house: House) -> None:
    command = hook(house.folder, WORKING.replace('"do": "done"', '"do": "failed"'))
    told = house.run("hook", "check", "--time", "30", *command)
    assert told.code == BROKEN
    assert "! do does it" in told.out
    rows = house.run("hook", "check", "--format", "json", *command).json
    assert (rows["kept"], [r["promise"] for r in rows["trials"] if not r["kept"]]) == (False, ["do does it"])


def test_options_behind_the_program_are_its_own_and_an_image_is_copied(house: House) -> None:
    (house.folder / "disk.img").write_bytes(b"x" * 5000)
    words = ("--image", "disk.img", "--log", "side.log", *hook(house.folder, 'sys.exit("--format" in sys.argv and 4)'))
    told = house.run("hook", "check", *words, "--format", "json")
    assert (told.code, "exit code 4" in told.out) == (BROKEN, True)
    assert (house.folder / "disk.img").read_bytes() == b"x" * 5000
    assert (house.folder / "side.log").is_file()


def test_what_cannot_be_tried_is_an_error_and_says_why(house: House) -> None:
    nowhere, folder = str(house.folder / "nowhere"), str(house.folder)
    for words in (
        ("--log", "nowhere/x.log", EXAMPLE),
        ("--log", folder, EXAMPLE),
        ("--image", "nowhere.img", EXAMPLE),
        ("--image", "/dev/zero", EXAMPLE),
        ("--time", "0", EXAMPLE),
        (),
        (nowhere,),
        (folder,),
    ):
        told = house.run("hook", "check", *words)
        assert (told.code, told.out) == (ERROR, ""), told.text
        assert told.err


def test_the_inventory_tells_whether_drivers_are_needed(home: House) -> None:
    assert "prepare: windows2019srv_64 is Windows" in home.run("inventory", "PGWINTESTBIOS").out
    home.edit("UPDATE vm_disks SET os_type = 'otherGuest'")
    (row,) = home.run("inventory", "PGWINTESTBIOS", "--format", "json").json["vms"]
    assert row["drivers"]["need"] == "ask"
