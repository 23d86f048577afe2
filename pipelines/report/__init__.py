"""One self-contained HTML page from the marts: what a person opens in the morning.

`write.py` is the whole story: a period (period.py), rows of the marts (data.py, by
sql/queries/report*.sql), the sections (sections/: a module that says what is shown, and a template
of the same name that says how; evidence.py and why.html.j2 have the proof of what several list),
and the page around them (page.py, page.html.j2, page.css).
"""
