"""Which columns of other tables each column of a query is made of, told from its SQL alone.

sqlglot follows a column through common table expressions, subqueries and unions. Of a lateral
subquery it would give what the rows are looked up by, not what they hold; so each is first put as
what it is to a lineage: a plain subquery, joined with the tables of the query around it that it
refers to.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

with warnings.catch_warnings():
    # The SQL parser announces its successor when it is imported, here or by dagster-dbt.
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    from sqlglot import exp, parse_one
    from sqlglot.lineage import Node, lineage
    from sqlglot.schema import MappingSchema

# That a query cannot be read is told by what is returned, and to nobody else.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

_DIALECT = "postgres"

Table = tuple[str, str]  # schema and name
ColumnRead = tuple[str, str, str]  # schema, table and column


def columns_read(
    query: str, tables: Mapping[Table, Sequence[str]]
) -> dict[str, list[ColumnRead]] | None:
    """For each column that a Postgres query gives, those columns of `tables` that make its values.

    `tables` are all that the query reads, with their columns; a database before a table's name is
    ignored. What rows are filtered, joined, sorted or put into named windows by makes no value. An
    empty list is a constant or a count of rows. None: the query cannot be read.
    """
    known = MappingSchema(dialect=_DIALECT)
    try:
        for (schema, name), columns in tables.items():
            known.add_table(exp.table_(name, schema), dict.fromkeys(columns, "unknown"))
        tree = parse_one(query, dialect=_DIALECT)
        for read in tree.find_all(exp.Table):
            read.set("catalog", None)
        _join_laterals(tree)
        roots = lineage(None, tree, known, dialect=_DIALECT, copy=False, trim_selects=False)
    except Exception:  # noqa: BLE001 - a reader of half of SQL stumbles in ways of all kinds
        return None
    return {
        column: sorted({leaf for leaf in _leaves(root) if leaf[:2] in tables})
        for column, root in roots.items()
    }


def _leaves(root: Node) -> Iterator[ColumnRead]:
    for node in root.walk():
        table = node.expression
        if not node.downstream and isinstance(table, exp.Table):
            yield table.db, table.name, exp.to_column(node.name).name


def _join_laterals(tree: exp.Expr) -> None:
    for lateral in list(tree.find_all(exp.Lateral)):
        subquery, around = lateral.this, lateral.parent_select
        if not isinstance(subquery, exp.Subquery) or around is None:
            continue  # a function that gives rows
        outer = _sources(around)
        for select in list(subquery.find_all(exp.Select)):
            asked = {column.table for column in select.find_all(exp.Column)}
            for name in sorted(asked & outer.keys() - _sources(select).keys() - {lateral.alias}):
                select.join(outer[name].copy(), join_type="cross", copy=False)
        subquery.set("alias", lateral.args["alias"])
        lateral.replace(subquery)


def _sources(select: exp.Select) -> dict[str, exp.Expr]:
    """What a select reads from, by the names that it gives them."""
    clauses = [select.args.get("from_"), *(select.args.get("joins") or [])]
    return {clause.this.alias_or_name: clause.this for clause in clauses if clause is not None}
