"""Archives: one ZIP file with everything that is needed to rebuild a result, described as an RO-Crate.

create          creates an archive: plans, checks, collects, describes and writes it
plan            chooses the content of an archive, and finds content that may be private
description     describes the result: a page with the commands that rebuild it, citations, JSON-LD
format          writes, checks and unpacks the ZIP file and its manifest
"""
