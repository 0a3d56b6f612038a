"""One file that holds all that is needed to rebuild a result, and that describes it as an RO-Crate.

manifest    names of members, the list of them, and the ZIP file
plan        what belongs into an archive, and what is refused
gathered    the history as a bundle of Git, and the packages of the locks
crate       the description of the result, as JSON-LD
about       the facts for that, and a page with the commands that rebuild
create      the course of all that
unpacked    an archive, checked, as a project that can be rebuilt
"""
