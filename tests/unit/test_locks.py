"""Whether what is installed is what a lock pins."""

from importlib import metadata

from locatable.results.locks import Drift, drift

YAML = metadata.version("pyyaml")


def test_nothing_has_drifted_where_all_is_as_locked() -> None:
    assert drift(f"pyyaml=={YAML}\n") == []


def test_another_version_has_drifted() -> None:
    assert drift("pyyaml==0.1\n") == [Drift("pyyaml", "0.1", YAML)]


def test_a_missing_package_has_drifted() -> None:
    assert drift("no-such-package==1.0\n") == [Drift("no-such-package", "1.0", None)]


def test_a_package_for_another_platform_has_not_drifted() -> None:
    assert drift('no-such-package==1.0 ; sys_platform == "amiga"\n') == []


def test_a_package_for_this_platform_has_drifted_by_its_own_version_alone() -> None:
    assert drift('no-such-package==1.0 ; sys_platform != "amiga"\n') == [
        Drift("no-such-package", "1.0", None)
    ]


def test_hashes_comments_and_options_are_no_packages() -> None:
    lock = f"""\
# comment
--find-links vendor

pyyaml=={YAML} \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via something
"""
    assert drift(lock) == []


def test_lines_of_another_tools_lock_pin_nothing() -> None:
    assert drift("lockfile: 1\npyyaml>=0.1\n") == []
