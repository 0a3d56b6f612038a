"""Refuse answers that could not become a working project: one line, and nothing is left behind.

Standard library only: cookiecutter may live in an environment of its own.
"""

import json
import keyword
import re
import sys
import unicodedata

# Answers are data: tojson leaves no quote that could end this literal.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

FREE_TEXT = ("project_name", "description", "author")
REMOTES = ("s3", "gs", "azure", "ssh", "webdavs")
TRACKING = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
# A package of one of these names would hide the module that the project itself imports.
TAKEN = set(
    """
    data docs extras models reports scripts tests
    alembic cloudpickle configobj dvc dvclive flask hydra joblib matplotlib mlflow numpy omegaconf
    optuna packaging pandas pil pkg_resources prefect psycopg pyarrow pydantic pydantic_core pytest
    ray ruamel ruff scipy setuptools sklearn sqlalchemy tqdm uv yaml
    """.split()
)
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


def text(answer):
    """Any text on one or several lines, without control characters."""
    if not answer.strip():
        return "some text"
    for character in answer:
        odd = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"
        if odd or ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
            return "text without control characters"
    return None


def folder(answer):
    """A plain folder name that every file system and Git host takes."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", answer) or ".." in answer:
        return "a folder name of letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    if answer.lower().split(".")[0] in DEVICES or answer.lower().endswith(".git"):
        return "a name that no system reserves"
    return None


def package(answer):
    """A Python identifier that hides nothing."""
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", answer):
        return "a Python name: a letter, then letters, digits and '_'"
    if keyword.iskeyword(answer):
        return "a name that is no keyword of Python"
    if answer.lower() in TAKEN or answer.lower() in sys.stdlib_module_names:
        return "a name that neither Python nor a package of the project uses already"
    return None


def place(answer, schemes, example):
    """What every address must be, whatever it points at."""
    if (
        not answer
        or answer != answer.strip()
        or re.search(r"""[\x00-\x1f\x7f-\x9f"'\u2028\u2029]|%\(""", answer)
    ):
        return example + ", without quotes, '%(' or control characters"
    if re.match(r"[A-Za-z0-9+.-]*://", answer) and answer.split("://")[0].split("+")[0] not in schemes:
        return example
    if re.match(r"[^/]*://[^/@]*:[^/@]*@", answer):
        return example + ", without a password (Git would publish it)"
    return None


def remote(answer):
    """A folder, or an address of a kind that DVC can be installed for."""
    example = "a folder, or an address that begins with " + ", ".join(scheme + "://" for scheme in REMOTES)
    scheme, separator, rest = answer.partition("://")
    if separator and (scheme not in REMOTES or not rest.strip("/")):
        return example
    if not separator and (re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", answer) or answer.startswith("~")):
        return example + "; write a folder out in full"
    return place(answer, REMOTES, example)


def tracking(answer):
    """An address that MLflow can keep runs at."""
    example = "a server's http(s):// address or a database's, such as sqlite:///mlflow.db"
    if answer == "databricks":
        return None
    if "://" not in answer:
        return example
    return place(answer, TRACKING, example)


CHECKS = {
    "project_slug": folder,
    "package_name": package,
    "dvc_remote": remote,
    "mlflow_tracking_uri": tracking,
}
CHECKS.update((question, text) for question in FREE_TEXT)


def main():
    for question, check in CHECKS.items():
        answer = ANSWERS[question]
        allowed = check(answer)
        if allowed:
            shown = answer if len(answer) <= 60 else answer[:57] + "..."
            sys.exit(f"{question}: {shown!a} is not allowed; it should be {allowed}")


if __name__ == "__main__":
    main()
