"""Whether what is installed is what a lock pins."""

from importlib import metadata

import pytest

from locatable.results.locks import Drift, drift

YAML = metadata.version("pyyaml")
MISSING = Drift("no-such-package", "1.0", None)


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        (f"pyyaml=={YAML}\n", []),
        ("pyyaml==0.1\n", [Drift("pyyaml", "0.1", YAML)]),
        ("no-such-package==1.0\n", [MISSING]),
        ('no-such-package==1.0 ; sys_platform == "amiga"\n', []),
        ('no-such-package==1.0 ; sys_platform != "amiga"\n', [MISSING]),
        ("lockfile: 1\npyyaml>=0.1\n", []),
    ],
    ids=["as locked", "another version", "none", "another platform", "this platform", "another tool's"],
)
def test_what_is_not_as_locked_has_drifted(lock: str, expected: list[Drift]) -> None:
    assert drift(lock) == expected


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
