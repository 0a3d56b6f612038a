"""Text without the secrets that URLs can hold."""

import re


def redact_urls(text: str) -> str:
    """The text, without passwords in its URLs, and without user names, which only SSH needs."""
    # Alone, a URL ends with the text; within a text, a quote can end it.
    login = r"[^/\s]+" if re.fullmatch(r"\w[\w+.-]*://\S+", text) else r"[^/@\s\"']+"
    text = re.sub(rf"(\b(?:git\+)?ssh://[^/@:\s\"']+)(?::{login})?@", r"\1\0", text)
    return re.sub(rf"(\w://){login}@", r"\1", text).replace("\0", "@")
