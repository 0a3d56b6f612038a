"""One page about a result, in one file of HTML that needs no server and loads nothing.

`content` reads what the page says, `render` makes HTML of it with `elements`, `drawing` and `chart`, and
`file` writes it.
"""
