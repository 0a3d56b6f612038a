"""One file that holds all that is needed to rebuild a result, and that describes it as an RO-Crate.

create          the course of it: what is checked, gathered, described and written
plan            what belongs into an archive, and what is refused
description     a page with the commands that rebuild, and the result as JSON-LD
format          the list of members and the ZIP file: written, checked, unpacked
"""
