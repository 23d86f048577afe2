"""dbt: one parsed project and one way to run it, for the command line and Dagster alike.

build.py         `dbt build` over the warehouse, as a report
build_lock.py    one build at a time in a warehouse
build_record.py  what the last build was built of, so that one that would change nothing is left out
dbt_command.py   any other dbt command, by hand
environment.py   the variables under which dbt works on a warehouse
manifest.py      the project as dbt parses it, kept beside the code
runner.py        dbt in this process: arguments, what comes of each node, errors
"""
