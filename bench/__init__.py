"""The product against its floors and against what a user would pick instead: `make bench`.

`work` and `bodies_*` say what is loaded, `server` serves it, `measure` runs whole processes,
`cases_*` are what is measured, `budgets` judges, `table` shows. `year` and `partitions` are
simulations and measurements for docs/scale.md, apart from `make bench`.
"""
