"""Guest ids as VMware gives them, and what is done about the drivers of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans.guest_os import Family, Need, drivers, family

WINDOWS = """
winXPProGuest winXPPro64Guest winNetStandardGuest winNetEnterprise64Guest winLonghornGuest windows7_64Guest
windows7Server64Guest windows8Server64Guest windows9Guest windows9_64Guest windows9Server64Guest windows11_64Guest
windows2019srv_64Guest windows2019srvNext_64Guest windows2022srvNext_64Guest windowsHyperVGuest win2000ServGuest
windows2019srv_64 windows2016srv_64 windows
"""
LINUX = """
rhel8_64 rhel9_64Guest rhel4Guest redhatGuest centos7_64Guest centosGuest rockylinux_64Guest almalinux_64Guest
oracleLinux8_64Guest ubuntu64Guest ubuntuGuest debian12_64Guest sles15_64Guest sles12Guest opensuse64Guest suse64Guest
fedora64Guest coreos64Guest amazonlinux2_64Guest vmwarePhoton64Guest other5xLinux64Guest other26xLinuxGuest otherLinux64Guest
asianux8_64Guest mandriva64Guest turboLinux64Guest oesGuest crxPod1Guest linux
"""
OTHER = """
freebsd13_64Guest darwin21_64Guest solaris11_64Guest netware6Guest dosGuest os2Guest vmkernel7Guest win31Guest win98Guest
openServer6Guest unixWare7Guest eComStation2Guest
"""
UNKNOWN = ("otherGuest", "otherGuest64", "other", "", " ", "guest", "🦊", "a windows machine")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (WINDOWS.split(), Family.WINDOWS),
        (LINUX.split(), Family.LINUX),
        (OTHER.split(), Family.OTHER),
        (UNKNOWN, Family.UNKNOWN),
    ],
)
def test_a_guest_id_belongs_to_its_family(ids: list[str], expected: Family) -> None:
    assert {name: family(name) for name in ids} == dict.fromkeys(ids, expected)


@given(st.sampled_from((*WINDOWS.split(), *LINUX.split(), *OTHER.split())), st.booleans(), st.sampled_from(("", " ", "\t")))
def test_case_ending_and_blanks_do_not_count(guest_id: str, upper: bool, blank: str) -> None:
    bare = guest_id.removesuffix("Guest")
    assert family(f"{blank}{bare.upper() if upper else bare.lower()}{blank}") is family(guest_id)


def test_only_windows_is_prepared_and_linux_is_skipped_which_is_a_result() -> None:
    assert {name: drivers(name).need for name in ("windows2019srv_64", "rhel8_64", "freebsd64Guest")} == {
        "windows2019srv_64": Need.PREPARE,
        "rhel8_64": Need.SKIP,
        "freebsd64Guest": Need.SKIP,
    }


@given(st.text(max_size=40))
def test_what_nobody_knows_is_asked_about_and_never_touched(guest_id: str) -> None:
    found = drivers(guest_id)
    assert (found.need is Need.ASK) is (family(guest_id) is Family.UNKNOWN)
    assert found.need is not Need.PREPARE or guest_id.strip().lower().startswith("win")
    assert found.why
