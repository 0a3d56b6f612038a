"""Ask roc-validator about an RO-Crate, without the network; run by the Python that has the validator.

    python validate_crate.py FOLDER PROFILE SEVERITY CONTEXT

CONTEXT is a file with RO-Crate's own JSON-LD context, which the validator would download. Prints a line for
each check that fails.
"""

import json
import sys
from pathlib import Path
from typing import ClassVar

from rdflib.plugins.shared.jsonld.context import Context
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester


class Answer:
    """What a server would answer."""

    status_code = 200
    ok = True
    headers: ClassVar = {"Content-Type": "application/ld+json"}

    def __init__(self, content: str) -> None:
        self.text = content
        self.content = content.encode()

    def json(self) -> object:
        """The content, parsed."""
        return json.loads(self.text)

    def raise_for_status(self) -> None:
        """Nothing is wrong."""


folder, profile, severity, context = sys.argv[1:]
# In the context of 1.1, which ours is, terms of Bioschemas have these names.
text = Path(context).read_text(encoding="utf-8").replace("bioschemas.org/terms/", "bioschemas.org/")
Context._fetch_context = lambda *arguments: json.loads(text)
HttpRequester.get = lambda *arguments, **options: Answer(text)
settings = ValidationSettings(
    rocrate_uri=folder,
    profile_identifier=profile,
    requirement_severity=Severity.get(severity.upper()),
)
for issue in services.validate(settings).get_issues():
    print(f"{issue.check.identifier}: {issue.message} ({issue.violatingEntity})")
