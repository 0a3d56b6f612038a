"""One file that holds all that is needed to rebuild a result, and that describes it as an RO-Crate.

format          names within an archive, and its manifest
privacy         what of a revision may be meant for this machine alone
plan            what belongs into an archive, how large it gets, and what is refused
bundle          history, as a bundle of Git that has the same bytes in every clone
wheels          the packages of the locks, for machines without a package index
readme          the commands that rebuild
crate           the description of the result, as JSON-LD
write           a ZIP file whose bytes follow from its content
create          the course of all that
read            checks an archive before anything of it is unpacked
unpacked        an archive as a project that can be rebuilt
"""
