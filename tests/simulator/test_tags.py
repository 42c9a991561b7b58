"""Tags, rule by rule (CS-TAG)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import NOBODY, NOT_YOURS, ZONE, No, World


def tag(world: World, on: str, by: str = "dr", kind: str = "Volume", command: str = "createTags", **pairs: Any) -> Any:
    """createTags or deleteTags with these pairs; None leaves the value out."""
    params: dict[str, Any] = {}
    for index, (key, value) in enumerate(pairs.items()):
        params[f"tags[{index}].key"] = key
        if value is not None:
            params[f"tags[{index}].value"] = value
    return world.does(command, by, resourceids=on, resourcetype=kind, **params)


def tags(world: World, volume: str) -> dict[str, str]:
    return {row["key"]: row["value"] for row in world.disk(volume)["tags"]}


@pytest.mark.parametrize("key", ["key", "KEY"], ids=["CS-TAG-01", "CS-TAG-01-other-case"])
def test_a_key_once_whatever_its_case_and_the_whole_call_fails(world: World, key: str) -> None:
    volume = world.volume()
    tag(world, volume, key="1")
    refused = tag(world, volume, fresh="2", **{key: "3"})
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text == f"tag {key} already on Volume with id {volume}" or refused.text.lower().startswith(
        "tag key already on"
    )
    assert tags(world, volume) == {"key": "1"}


def test_CS_TAG_01_several_resources_are_one_call(world: World) -> None:
    first, second = world.volume("a"), world.volume("b")
    tag(world, second, key="1")
    assert tag(world, f"{first},{second}", key="2").code == 530
    assert tags(world, first) == {}


def test_CS_TAG_02_an_empty_value_is_431_and_none_at_all_530(world: World) -> None:
    volume = world.volume()
    assert tag(world, volume, key="") == No("job", 431, "Value for the key key is either null or empty")
    assert tag(world, volume, key=None) == No("job", 530, "Command failed due to Internal Server Error")


def test_CS_TAG_03_deleting_nothing_is_530(world: World) -> None:
    volume = world.volume()
    assert tag(world, volume, command="deleteTags", key=None) == No("job", 530, "Failed to delete tags")


def test_deleting_finds_a_key_of_another_case(world: World) -> None:
    volume = world.volume()
    tag(world, volume, key="1", other="2")
    assert tag(world, volume, command="deleteTags", KEY=None) == {"success": True}
    assert tags(world, volume) == {"other": "2"}


def test_CS_TAG_04_what_is_longer_than_255_is_cut(world: World) -> None:
    volume = world.volume()
    tag(world, volume, **{"k" * 300: "v" * 2000})
    assert tags(world, volume) == {"k" * 255: "v" * 255}


@pytest.mark.parametrize("kind", ["VirtualMachine", "Bogus"], ids=lambda k: f"CS-TAG-05-{k}")
def test_unknown_kinds_are_431(world: World, kind: str) -> None:
    assert tag(world, world.volume(), kind=kind, key="1") == No("job", 431, f"Invalid resource type {kind}")


def test_CS_TAG_05_unsupported_kinds_are_431_and_case_does_not_matter(world: World) -> None:
    refused = tag(world, ZONE, "admin", kind="Zone", key="1")
    assert (refused.at, refused.code) == ("job", 431)
    assert refused.text.endswith("doesn't support resource tags")
    assert tag(world, world.deploy(), kind="uservm", key="1") == {"success": True}


def test_CS_TAG_06_an_unknown_thing_is_431_and_a_foreign_one_530(world: World) -> None:
    said = f"Unable to find resource by uuid {NOBODY} and type Volume"
    assert tag(world, NOBODY, key="1") == No("job", 431, said)
    assert tag(world, world.volume(), "other", key="1") == No("job", 530, NOT_YOURS)


def test_tags_survive_attaching_and_detaching(world: World) -> None:
    vm, volume = world.running(), world.ready()
    tag(world, volume, key="1")
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.done("detachVolume", id=volume)
    assert tags(world, volume) == {"key": "1"}
    listed = world.now("listTags", resourceid=volume)["tag"]
    assert [(row["key"], row["value"], row["resourcetype"]) for row in listed] == [("key", "1", "Volume")]
