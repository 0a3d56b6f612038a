"""URLs without secrets."""

import pytest

from locatable.output import redact_urls


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://example.org/a.git", "https://example.org/a.git"),
        ("https://ada:secret@example.org/a.git", "https://example.org/a.git"),
        ("https://token@example.org/a.git", "https://example.org/a.git"),
        ("https://ada:se@cret@example.org/a.git", "https://example.org/a.git"),
        ("ssh://git@example.org/a.git", "ssh://git@example.org/a.git"),
        ("ssh://git:secret@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git+ssh://git:secret@example.org/a.git", "git+ssh://git@example.org/a.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("postgresql+psycopg://ada:secret@db/x", "postgresql+psycopg://db/x"),
        ("sqlite:////home/ada/a@b/mlflow.db", "sqlite:////home/ada/a@b/mlflow.db"),
        ("/home/ada/repo", "/home/ada/repo"),
    ],
)
def test_a_url_keeps_no_password(text: str, redacted: str) -> None:
    assert redact_urls(text) == redacted


def test_urls_within_a_text_keep_no_password() -> None:
    text = "cannot reach 'https://ada:secret@example.org/a', nor \"ssh://git:secret@example.org/b\" @ noon"
    assert redact_urls(text) == (
        "cannot reach 'https://example.org/a', nor \"ssh://git@example.org/b\" @ noon"
    )
