"""A VM's credential: its own, or that of its vCenter, and never one of another vCenter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from reconciler.source.door import Login
from reconciler.source.errors import NoLogin
from reconciler.source.logins import Credential, login_for
from tests.reconciler.source.side import HOST, KEY, SOURCE

OTHER = "vcenter2.example.org"


def credential(host: str, *vms: str, user: str = "u") -> Credential:
    return Credential(Login(host, user, SecretStr("secret")), frozenset(vms))


def test_a_vm_s_own_credential_goes_before_that_of_its_vcenter() -> None:
    own = credential(HOST, KEY, user="own")
    assert login_for(SOURCE, [credential(HOST), own]) is own.login


def test_a_vm_s_own_credential_for_another_vcenter_is_refused_and_no_other_is_used_instead() -> None:
    with pytest.raises(NoLogin, match=OTHER):
        login_for(SOURCE, [credential(HOST), credential(OTHER, KEY)])


@pytest.mark.parametrize(
    "known", [[], [credential(OTHER)], [credential(HOST, "another-vm")], [credential(HOST), credential(HOST)]]
)
def test_none_or_two_that_fit_are_refused(known: list[Credential]) -> None:
    with pytest.raises(NoLogin):
        login_for(SOURCE, known)


def test_a_vm_whose_vcenter_nobody_knows_has_no_credential() -> None:
    with pytest.raises(NoLogin):
        login_for(replace(SOURCE, vcenter=""), [credential("", KEY)])


HOSTS, OWN = st.sampled_from([HOST, HOST.upper(), OTHER]), st.sets(st.sampled_from([KEY, "x"]))


@given(st.lists(st.builds(lambda host, own: credential(host, *own), HOSTS, OWN)))
def test_no_credential_of_another_vcenter_is_ever_used(known: list[Credential]) -> None:
    try:
        found: Login | None = login_for(SOURCE, known)
    except NoLogin:
        found = None
    assert found is None or found.host.lower() == HOST
