"""What of a revision may be meant for this machine, or for some people, alone.

Nothing can say what is secret. These are the kinds of which experience says that they leave by accident: data
that others gave, passwords, and paths of one machine. A commit cannot be changed, and a bundle holds all of
its history: passwords are looked for in every version of every file.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..addresses import redact_urls

# Larger files, and those with a zero byte, are data rather than what a person wrote.
LARGEST_TEXT = 1 << 20
_DVC_CONFIG = re.compile(r"(^|/)\.dvc/config(\.local)?$")
# What DVC's schema of its configuration knows of them.
_SECRET = re.compile(
    rb"^\s*['\"]?(password|token|access_key_id|secret_access_key|session_token|sse_customer_key|connection_string"
    rb"|sas_token|account_key|client_secret|oss_key_id|oss_key_secret|gdrive_client_secret)['\"]?\s*=\s*\S",
    re.MULTILINE | re.IGNORECASE,
)
_ABSOLUTE = re.compile(rb"^\s*\w+\s*=\s*['\"]?((?:file://)?/[^\s'\"]*|[A-Za-z]:[\\/][^\s'\"]*)", re.MULTILINE)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_URL_WITH_LOGIN = re.compile(rb"\w[\w+.-]*://[^/\s\"'`<>@]+@[^\s\"'`<>]+")
# Instead of a password: a variable, or a place for one.
_PLACEHOLDER = re.compile(r"://(?:[^/@:]*:)?[$<{*.]")


@dataclass(frozen=True)
class Concern:
    """Something that may have to stay here.

    Attributes:
        name: what `--include` calls it: a path.
        reason: why.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class CommittedText:
    """A version of a file in the history of a revision.

    Attributes:
        path: of the file, from the Git root.
        content: its bytes.
        is_present: whether the revision itself has this version.
    """

    path: str
    content: bytes
    is_present: bool


def imports(sources: Mapping[str, Mapping[str, Any]], taken: Collection[str]) -> Iterator[Concern]:
    """Data that comes from elsewhere: who may have it, only that place knows.

    Args:
        sources: entry of each `.dvc` file by the path of its data, with its `deps`.
        taken: paths of the data that an archive is to hold.
    """
    for path, entry in sources.items():
        for origin in entry.get("deps") or ():
            if path not in taken:
                continue
            repository = origin.get("repo") or {}
            command = "dvc import" if repository else "dvc import-url"
            place = redact_urls(str(repository.get("url") or origin.get("path", "elsewhere")))
            yield Concern(path, f"{command} of {place}")


def in_texts(texts: Iterable[CommittedText], local_folders: Collection[str]) -> Iterator[Concern]:
    """Credentials in any version of a file, and paths of this machine in the present one.

    Args:
        texts: files.
        local_folders: absolute paths that only this machine has.
    """
    names = [name for name in local_folders if len(name) > 1]
    local = re.compile(
        rb"(?<![\w.:/-])(" + b"|".join(re.escape(name.encode()) for name in names) + rb")(?![\w.-])"
    )
    for text in texts:
        if len(text.content) > LARGEST_TEXT or b"\0" in text.content:
            continue
        where = "" if text.is_present else ", in an earlier commit"
        credential = _credential(text)
        if credential:
            yield Concern(text.path, f"{credential}{where}")
        path = _local_path(text, local) if names else ""
        if path and text.is_present:
            yield Concern(text.path, f"an absolute path: {path}")


def _credential(text: CommittedText) -> str:
    """What of a text is a credential, in words; empty where nothing is."""
    if _PRIVATE_KEY.search(text.content):
        return "a private key"
    setting = _SECRET.search(text.content) if _DVC_CONFIG.search(text.path) else None
    if setting:
        return f"the setting {setting[1].decode()} of a DVC remote"
    for found in _URL_WITH_LOGIN.findall(text.content):
        url = found.decode(errors="replace")
        if redact_urls(url) != url and not _PLACEHOLDER.search(url):
            return f"the login in {redact_urls(url)[:60]}"
    return ""


def _local_path(text: CommittedText, local: re.Pattern[bytes]) -> str:
    found = local.search(text.content)
    if not found and _DVC_CONFIG.search(text.path):
        found = _ABSOLUTE.search(text.content)
    return found[1].decode(errors="replace") if found else ""


def not_included(concerns: Iterable[Concern], include: Collection[str]) -> list[Concern]:
    """Concerns that nobody has answered, one for each name and reason, in their order."""
    return [concern for concern in dict.fromkeys(concerns) if concern.name not in include]
