"""One page about a result, in one file of HTML that needs no server and loads nothing.

`facts` reads what the page says, `write` fills in `templates/page.html.j2` and writes the file.
"""
