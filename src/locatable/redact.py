"""Text without the secrets that URLs can hold."""

import re

_URL = re.compile(r"\w[\w+.-]*://\S+")
# Stands for the `@` after a user name that stays.
_KEPT = "\0"


def redact_urls(text: str) -> str:
    """The text, without passwords in its URLs, and without user names, which only SSH needs."""
    # Alone, a URL ends with the text, and its password can hold an `@`; within a text, a quote can end it.
    is_url = _URL.fullmatch(text)
    login = r"[^/\s]+" if is_url else r"[^/@\s\"']+"
    text = re.sub(rf"(\b(?:git\+)?ssh://[^/@:\s\"']+)(?::{login})?@", rf"\1{_KEPT}", text)
    text = re.sub(rf"(\w://){login}@", r"\1", text)
    return text.replace(_KEPT, "@")
