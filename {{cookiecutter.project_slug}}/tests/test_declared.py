"""Check that stages declare the modules that they import. `locatable declare` adds those that are missing."""

from locatable.testing import test_stages_declare_what_they_import  # noqa: F401
