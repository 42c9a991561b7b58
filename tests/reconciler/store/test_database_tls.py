"""TLS to a real MariaDB: the right certificate is trusted, and of every wrong one it is said what is wrong with it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from reconciler.store.database import Database, DatabaseUntrusted
from tests import mariadb
from tests.mariadb import PASSWORD, Server

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Issuer:
    """Makes certificates for `localhost` in a folder; `certificate` is its own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def begin(self) -> Issuer:
        self._do("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=issuer")
        more = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        self._do("req", *KEY, "-keyout", "server.key", "-out", "server.csr", *more)
        return self

    def issue(self, days: int) -> None:
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-copy_extensions", "copy")
        self._do("x509", "-req", "-in", "server.csr", *signed, "-days", str(days), "-out", "server.pem")
        for path in self.folder.iterdir():
            path.chmod(0o644)

    def _do(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=mariadb.PATIENCE)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: `apt-get install openssl` lets this test run")
    folder = tmp_path_factory.mktemp("tls")
    for part in (folder, *folder.parents):
        if part.stat().st_uid == folder.stat().st_uid:
            part.chmod(part.stat().st_mode | 0o055)  # the server, which is somebody else, reads its certificate
        if part.name.startswith("pytest-of"):
            break
    made = Issuer(folder).begin()
    made.issue(2)
    return made


@pytest.fixture(scope="module")
def server(issuer: Issuer) -> Iterator[Server]:
    if not all(map(mariadb.program, mariadb.PROGRAMS)):
        pytest.skip(mariadb.MISSING)
    own = (f"--ssl-cert={issuer.folder}/server.pem", f"--ssl-key={issuer.folder}/server.key")
    with mariadb.serving(f"--ssl-ca={issuer.certificate}", *own) as running:
        yield running


def asked(server: Server, ca_file: Path, host: str = "localhost") -> str:
    """What the server says of its cipher."""
    database = Database(server.url("mysql").replace("127.0.0.1", host), ca_file=ca_file)
    try:
        with database.read() as connection:
            return str(connection.execute(sa.text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])
    finally:
        database.engine.dispose()


def test_a_server_with_the_right_certificate_is_trusted(server: Server, issuer: Issuer) -> None:
    assert asked(server, issuer.certificate).startswith("TLS")


def test_a_wrong_certificate_is_told_with_what_is_wrong_and_what_to_do(
    server: Server, issuer: Issuer, tmp_path: Path
) -> None:
    other = Issuer(tmp_path).begin()
    with pytest.raises(DatabaseUntrusted, match="does not vouch for: put the certificate of its issuer into that file"):
        asked(server, other.certificate)
    with pytest.raises(DatabaseUntrusted, match=r"for another name: correct the host in `database\.url`") as caught:
        asked(server, issuer.certificate, host="127.0.0.1")
    assert PASSWORD not in str(caught.value)
    try:
        issuer.issue(-1)
        server.say("FLUSH SSL")
        with pytest.raises(DatabaseUntrusted, match="not valid at this moment: renew it, or set the clocks right"):
            asked(server, issuer.certificate)
    finally:
        issuer.issue(2)
        server.say("FLUSH SSL")
