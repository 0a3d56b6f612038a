"""The template's tools: they read Git and DVC, and never import the project's own package."""
