"""Both vendors' APIs on loopback, for the demo, the tests and a user's own CI.

Faked, as the vendors' reference pages describe them: authentication, paging, every filter, expands,
rate limits with their headers, error bodies. The runs come from files or from a seeded history.
The fakes import nothing of the loader, so that the two cannot agree on the same mistake.

Where the pages are silent the sandbox takes the unkind reading: `created_after` and
`created_before` exclude their bounds, a parameter that cannot be understood is refused, a cursor
names the last run seen.

    server.py                     one HTTP server for both; every answer passes its `_serve`
    postman.py                    what Postman holds and answers
    testmo.py                     the same for Testmo; testmo_query.py its parameters, books.py
                                  the objects that its runs refer to
    faults/                       what can be made to go wrong, and when
    limits.py, wire.py            quotas; answers, JSON bytes and times
    data.py, files.py             what is served; runs and books from files
    history.py, history_*.py      invented days, with stories worth finding
    postman_run.py, testmo_run.py one invented run written down
    catalog.py, catalog_testmo.py the invented company that those days happen to
"""
