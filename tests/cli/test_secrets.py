"""Canaries: the API key, the secret key and the password of the database stand in no output, file, table or log."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.cli.conftest import QUICK_JOBS
from tests.cli.world import PG, ROOT, Cloud, House, Said

CANARIES = {"api_key": "CANARY-key+1/a=", "secret_key": "CANARY-secret&2 b%", "database": "CANARY-password@3:c/"}
KNOWN = {"api_key": "demo-api-key", "secret_key": "demo-secret-key"}


@pytest.fixture
def caged(tmp_path: Path) -> Iterator[House]:
    """A house whose secrets are canaries, and a cloud that knows them."""
    estate = (ROOT / "examples" / "estate.yaml").read_text(encoding="utf-8")
    for name, text in KNOWN.items():
        assert text in estate
        estate = estate.replace(f"{name}: {text}", f"{name}: '{CANARIES[name]}'")
    (tmp_path / "estate.yaml").write_text(estate, encoding="utf-8")
    cloud = Cloud("--estate", str(tmp_path / "estate.yaml"), *QUICK_JOBS)
    house = House(tmp_path / "house", cloud.url)
    house.set({"  # password: file:secrets/database": "  password: file:secrets/database"})
    for name, text in CANARIES.items():
        (house.folder / "secrets" / name).write_text(f"{text}\n", encoding="utf-8")
    yield house
    cloud.close()


def forms(text: str) -> set[bytes]:
    """A secret as it may stand somewhere: as it is, quoted, encoded."""
    plain = text.encode()
    return {plain, quote(text).encode(), quote(text, safe="").encode(), quote_plus(text).encode(), base64.b64encode(plain)}


def leaks(where: str, content: bytes) -> Iterator[str]:
    for name, text in CANARIES.items():
        if any(form in content for form in forms(text)):
            yield f"{name} stands in {where}"


def in_files(house: House) -> Iterator[str]:
    secrets = house.folder / "secrets"
    for path in house.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(secrets):
            yield from leaks(path.name, path.read_bytes())


def in_output(told: dict[str, Said]) -> Iterator[str]:
    for words, said in told.items():
        yield from leaks(f"what `{words}` printed", said.text.encode())


def test_no_secret_leaves_its_file_during_a_whole_test(caged: House) -> None:
    told = {}
    for words in (
        "validate specs --explain",
        "plan specs --out plan.json -v",
        "plan specs --format json",
        "plan specs --format markdown",
        "apply --plan plan.json --yes",
        "status --format json",
        f"why {PG}",
        f"end {PG} --format json",
        "history",
        "db upgrade",
        "daemon --once --specs specs",
    ):
        told[words] = caged.run(*words.split())
        assert told[words].code in (0, 2), told[words].text
    assert [*in_output(told), *in_files(caged)] == []
    assert {p.name for p in caged.folder.iterdir()} >= {"plan.json", "failover.db"}


TROUBLE = {
    "nobody listens": {"{url}": "http://127.0.0.1:9/client/api"},
    "a wrong path": {"/client/api": "/client"},
    "a wrong database": {"sqlite:///failover.db": "mysql+pymysql://oma@127.0.0.1:9/oma"},
    "a key that is written down": {"api_key: file:secrets/api_key": f"api_key: {CANARIES['api_key']!r}"},
    "a password in the URL": {"sqlite:///failover.db": f"mysql+pymysql://oma:{CANARIES['secret_key']}@127.0.0.1:9/oma"},
}


@pytest.mark.parametrize("name", TROUBLE)
def test_no_secret_stands_in_what_is_said_of_trouble(name: str, caged: House) -> None:
    caged.set({old.format(url=caged.url): new for old, new in TROUBLE[name].items()})
    settings = caged.folder / "failover.yaml"
    told = {words: caged.run(*words.split(), FAILOVER_TRACE="1") for words in ("plan specs", "apply --yes specs", "status")}
    assert told["plan specs"].code == 1
    settings.unlink()  # what the operator wrote into it is no leak of ours
    assert [*in_output(told), *in_files(caged)] == []


def test_a_refused_signature_is_told_without_the_key(caged: House) -> None:
    (caged.folder / "secrets" / "secret_key").write_text("CANARY-other", encoding="utf-8")
    told = {"plan": caged.run("plan", "specs", FAILOVER_TRACE="1")}
    assert told["plan"].code == 1
    assert "CANARY" not in told["plan"].text
    assert list(in_files(caged)) == []


@pytest.mark.parametrize("form", sorted(forms(CANARIES["api_key"])))
def test_a_leak_would_be_seen(form: bytes) -> None:
    assert list(leaks("here", b"before " + form + b" after")) == ["api_key stands in here"]
