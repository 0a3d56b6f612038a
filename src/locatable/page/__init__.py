"""One page about a result, in one file of HTML that needs no server and loads nothing.

`facts` reads what the page says, `figures` what it shows, and `write` fills in `templates/page.html.j2`.
"""
