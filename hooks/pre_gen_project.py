"""Refuse answers that cannot become a working project, with one line and without leaving files behind.

Only the standard library is used, because cookiecutter can run in an isolated environment.
"""

import json
import keyword
import os
import posixpath
import re
import subprocess
import sys
import unicodedata

# cookiecutter renders the answers into this literal; `tojson` escapes all quotes that could end it. Copier
# passes the answers as an argument.
ANSWERS = json.loads(sys.argv[1] if "COPIER_OPERATION" in os.environ else r"""{{ cookiecutter | tojson }}""")

FREE_TEXT = ("project_name", "description", "author")
REMOTES = ("s3", "gs", "azure", "ssh", "webdavs")
TRACKING = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
# The folders of the project, and all modules of its environment with all extras and plug-ins. A package with
# one of these names would hide the module.
TAKEN = set(
    """
    data docs dvc_plots mlartifacts mlruns models reports scripts tests
    adlfs aiobotocore aiohappyeyeballs aiohttp aiohttp_cors aiohttp_retry aioitertools aiosignal aiosqlite
    alembic amplitude amqp annotated_doc annotated_types antlr4 anyio appdirs apprise arcp asgi_lifespan
    async_timeout asyncpg asyncssh attr attrs azure bcrypt beartype billiard blinker boto3 botocore
    burner_redis cachetools celery certifi cffi charset_normalizer click click_didyoumean click_plugins
    click_repl
    cloudpickle colorama colorful colorlog configobj contourpy coolname cronsim cryptography cycler
    cyclopts databricks dateparser dateparser_cli dateparser_data dateparser_scripts dateutil dictdiffer
    diskcache distlib distro docker docket docstring_parser dotenv dpath dulwich dvc dvc_azure dvc_data
    dvc_gs dvc_http dvc_objects dvc_render dvc_s3 dvc_ssh dvc_studio_client dvc_task dvc_webdav dvclive
    entrypoints exceptiongroup fastapi filelock flask flask_cors flatten_dict flufl fontlib fonttools
    frozenlist fsspec funcy gcsfs git gitdb google google_auth_oauthlib googleapiclient grandalf graphene
    graphql graphql_relay graphviz greenlet griffe griffecli grpc gto gunicorn h11 h2 hpack httpcore httpx
    huey humanize hydra hyperframe idna importlib_metadata iniconfig isodate iterative_telemetry
    itsdangerous jinja2 jinja2_humanize_extension jmespath joblib jsonpatch jsonpatch_cli jsonpointer
    jsonschema jsonschema_specifications key_value kiwisolver knack kombu locatable mako markdown markdown_it
    markupsafe matplotlib mdurl mlflow mpl_toolkits msal msgpack multidict narwhals networkx numpy
    oauthlib omegaconf opencensus opentelemetry optuna orjson packaging pandas paramiko pathspec pendulum
    pil pip pkg_resources platformdirs pluggy prefect prettytable prometheus_client prompt_toolkit
    propcache proto psutil psycopg psycopg_binary public py pyarrow pyasn1 pyasn1_modules pycparser pydantic
    pydantic_core pydantic_extra_types pydantic_settings pydevd_plugins pydot pygit2 pygments pygtrie
    pylab pynvml pyparsing pypdf pypdfium2 pypdfium2_cfg pypdfium2_cli pypdfium2_raw
    pytest python_discovery pythonjsonlogger pytz ray readchar redis referencing
    regex requests requests_oauthlib resvg_py rfc3339_validator rich rich_rst rocrate rpds ruamel ruff
    s3fs s3transfer scipy scmrepo semver setuptools shellingham shortuuid shtab six sklearn skops slugify
    smart_open smmap sniffio sqlalchemy sqlparse sqltrie sshfs starlette tabulate text_unidecode
    threadpoolctl toml tomlkit tqdm typer typing_extensions typing_inspection tzdata tzlocal uncalled_for
    urllib3 uv uvicorn validate vine virtualenv voluptuous waitress wcwidth webdav4 websockets werkzeug
    wrapt yaml yarl zc zipp
    """.split()
)
LONGEST = 100  # file systems allow 255, but file names contain more than this name
DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}


def text(answer):
    """Return what is wrong with a text, which can have several lines, but no control characters.

    Like all checks, it returns the rest of a sentence `it should be …`, or None for a valid answer.
    """
    if not answer.strip():
        return "some text"
    for character in answer:
        odd = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t"
        if odd or ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
            return "text without control characters"
    return None


def folder(answer):
    """Check a plain folder name that every file system and Git host accepts."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", answer) or ".." in answer:
        return "a folder name of letters, digits, '-', '_' and '.', with a letter or digit at both ends"
    if len(answer) > LONGEST:
        return f"a name of {LONGEST} characters at most"
    if answer.lower().split(".")[0] in DEVICES or answer.lower().endswith(".git"):
        return "a name that no system reserves"
    return None


def package(answer):
    """Check a Python identifier that hides no other module."""
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", answer):
        return "a Python name: a letter, then letters, digits and '_'"
    if len(answer) > LONGEST:
        return f"a name of {LONGEST} characters at most"
    if keyword.iskeyword(answer):
        return "a name that is no keyword of Python"
    if answer.lower() in TAKEN or answer.lower() in sys.stdlib_module_names:
        return "a name that neither Python nor a package of the project uses already"
    return None


def place(answer, schemes, example):
    """Check what holds for all addresses; `example` describes the allowed ones."""
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
    """Check a DVC remote: a folder, or an address for which DVC has a plug-in."""
    example = "a folder, or an address that begins with " + ", ".join(scheme + "://" for scheme in REMOTES)
    scheme, separator, rest = answer.partition("://")
    if separator and (scheme not in REMOTES or not rest.strip("/")):
        return example
    if not separator and (re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", answer) or answer.startswith("~")):
        return example + "; write a folder out in full"
    outside = re.match(r"[/\\]|[A-Za-z]:|\.\.([/\\]|$)", posixpath.normpath(answer))
    if not separator and not outside:
        # Git would track the files that DVC stores inside the project.
        return example + "; a folder outside of the project, such as ../NAME"
    return place(answer, REMOTES, example)


def tracking(answer):
    """Check an address at which MLflow can store runs."""
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


# Waits until a folder is gone, then removes its parent folders, as long as they are empty.
REMOVE_PARENTS = """
import os, sys, time
folder, top = sys.argv[1:]
for _ in range(100):
    if not os.path.exists(folder):
        break
    time.sleep(0.05)
folder = os.path.dirname(folder)
while folder.startswith(top + os.sep):
    os.rmdir(folder)
    folder = os.path.dirname(folder)
"""


def remove_parents():
    """Remove the parent folders that cookiecutter created for an answer such as `a/b`.

    cookiecutter itself only removes the innermost folder, and only after this hook has ended. So a process in
    the background waits for that.
    """
    here, top = os.path.realpath("."), os.path.realpath(ANSWERS.get("_output_dir", "."))
    if os.path.dirname(here).startswith(top + os.sep):
        command = [sys.executable, "-c", REMOVE_PARENTS, here, top]
        subprocess.Popen(command, cwd=top, stderr=subprocess.DEVNULL)


def main():
    for question, check in CHECKS.items():
        answer = ANSWERS[question]
        allowed = check(answer)
        if allowed:
            shown = answer if len(answer) <= 60 else answer[:57] + "..."
            remove_parents()
            # cookiecutter always prints a traceback when a hook fails.
            sys.exit(
                f"{question}: {shown!a} is not allowed; it should be {allowed}\n"
                "Nothing was generated; the traceback that follows is how the generator ends."
            )


if __name__ == "__main__":
    main()
