"""Every stage declares all modules of ours that it imports, or DVC misses a change: `locatable declare`."""

from locatable.testing import test_stages_declare_what_they_import  # noqa: F401
