"""What a person sees in a terminal.

Each command of cli.py has its work here: loading.py, building.py, show_status.py, summary.py (the
demo), sandbox.py, dev.py. All of it is printed through output.py.
"""
