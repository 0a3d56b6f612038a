"""Documents that are ZIP files: their members, read within limits, and their XML."""

import posixpath
import xml.etree.ElementTree as ET
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

from ..errors import UnreadableError
from .formats import MOST_BYTES
from .markup import parse_xml

# Bytes that all members of a document together may have.
MOST_TOGETHER = 2_000_000_000
# Members; a presentation of 500 slides has some 3,000.
MOST_MEMBERS = 100_000


class Package:
    """A document that is a ZIP file; a context manager.

    Args:
        path: of the document.

    Raises:
        UnreadableError: it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise UnreadableError(
                f"{path}: encrypted or broken: not the ZIP file that a {path.suffix} is"
            ) from None
        names = self._zip.namelist()
        if len(names) > MOST_MEMBERS:
            raise UnreadableError(f"{path}: more than {MOST_MEMBERS:,} files in it are not read")
        self.names = frozenset(names)

    def __enter__(self) -> "Package":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """Content of a member.

        Raises:
            UnreadableError: there is none of that name; or it is encrypted, broken, or too large.
        """
        where = f"{self.path}: {name}"
        try:
            size = self._zip.getinfo(name).file_size
            if size > MOST_BYTES or self._read + size > MOST_TOGETHER:
                raise UnreadableError(f"{where}: it unpacks to {size // 1_000_000:,} MB, which is not read")
            self._read += size
            with self._zip.open(name) as file:
                return file.read(size + 1)
        except KeyError:
            raise UnreadableError(f"{where}: is missing from the document") from None
        except RuntimeError:
            raise UnreadableError(f"{where}: is encrypted") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
            raise UnreadableError(f"{where}: {error}") from None

    def xml(self, name: str) -> ET.Element:
        """A member that is XML, parsed.

        Raises:
            UnreadableError: see `read`; or it is not XML.
        """
        return parse_xml(self.read(name), f"{self.path}: {name}")


def target_path(member: str, target: str) -> str:
    """The member that a member refers to by a relative or absolute path."""
    target = unquote(target.partition("#")[0])
    if target.startswith("/"):
        return target[1:]
    return posixpath.normpath(posixpath.join(posixpath.dirname(member), target))
