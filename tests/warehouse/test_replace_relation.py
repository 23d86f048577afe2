"""What people build on a model stays when it is replaced, whatever its columns become."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.dbt import Connection, rows

# Everything about people's views that a rebuilt model might cost them.
STATE = """
    select
        relations.oid::regclass::text,
        pg_get_viewdef(relations.oid),
        relations.relowner::regrole::text,
        (
            select array_agg(item::text order by 1)
            from unnest(coalesce(relacl, acldefault('r', relowner))) as item
        ),
        relations.reloptions::text,
        obj_description(relations.oid, 'pg_class'),
        (
            select array_agg((attname, attacl, col_description(attrelid, attnum))::text order by 1)
            from pg_attribute where attrelid = relations.oid and attnum > 0
        ),
        (select array_agg(indexdef order by 1) from pg_indexes where schemaname = 'own'
            and tablename = relations.relname),
        (select array_agg(tgname::text) from pg_trigger where tgrelid = relations.oid),
        (select array_agg(rulename::text order by 1) from pg_rewrite
            where ev_class = relations.oid)
    from pg_class as relations
    where relations.relnamespace = 'own'::regnamespace and relations.relkind in ('v', 'm')
    order by 1
"""


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Connection]:
    """A table and a view as models of dbt's role, and views on them of a role of their own."""
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute(
            """
            create role analyst;
            create role viewer;
            create role modeller;
            grant usage on schema ingest to modeller;
            grant create, usage on schema staging, marts to modeller;
            grant usage on schema staging, marts to analyst, viewer;
            alter default privileges for role modeller grant insert on tables to viewer;
            create schema own authorization analyst;
            grant usage on schema own to modeller;
            set role modeller;
            create table marts.fct as select 1 as a, 'one' as b, 10::bigint as n;
            create index "0123456789abcdef0123456789abcdef" on marts.fct (a);
            create index by_hand on marts.fct (b);
            create view staging.stg as select 1 as a, 'one'::text as b, 10::bigint as n;
            revoke insert on staging.stg from viewer;
            grant select on marts.fct, staging.stg to analyst with grant option;
            grant select (a) on marts.fct, staging.stg to viewer;
            set role analyst;
            create view own.names with (security_barrier = true) as select b from marts.fct;
            create view own.whole as select * from marts.fct;
            create view own.upon as
                select b, sum(n) as n from own.names inner join own.whole using (b) group by 1;
            create materialized view own.kept as select a, n from marts.fct;
            create unique index on own.kept (a);
            create view own.staged as select a, n from staging.stg;
            create function own.refuse() returns trigger language plpgsql
                as 'begin return null; end';
            create trigger kept_out instead of insert on own.whole
                for each row execute function own.refuse();
            create rule no_more as on delete to own.whole do instead nothing;
            grant select on own.whole to viewer, public;
            grant select (n) on own.upon to viewer with grant option;
            comment on view own.whole is 'It''s ours';
            comment on column own.upon.n is 'in all';
            set role none
            """
        )
        yield connection
        connection.execute("set role none")
        connection.execute("drop owned by analyst, viewer, modeller cascade")
        connection.execute("drop role analyst, viewer, modeller")


def replace(warehouse: Connection, relation: str, built: str) -> None:
    """As the macro does it, with what dbt has built beside the relation: table or view."""
    schema, name = relation.split(".")
    with warehouse.transaction():
        kind, query = built.split(" ", 1)
        warehouse.execute(f"create {kind} {relation}__dbt_tmp as {query}".encode())
        if kind == "table":
            index = '"fedcba9876543210fedcba9876543210"'
            warehouse.execute(f"create unique index {index} on {relation}__dbt_tmp (a)".encode())
        warehouse.execute(
            "select ingest.replace_relation(%s, %s, %s, '{staging.model}')",
            (f"{relation}__dbt_tmp", schema, name),
        )


def rights(warehouse: Connection, relation: str) -> list[tuple[Any, ...]]:
    return rows(
        warehouse,
        f"""
        select relowner::regrole::text, item::text from pg_class, unnest(relacl) as item
        where oid = '{relation}'::regclass
        union all
        select attname, attacl::text from pg_attribute
        where attrelid = '{relation}'::regclass and attacl is not null
        order by 1, 2
        """,
    )


@pytest.mark.parametrize(
    ("relation", "built"),
    [
        ("marts.fct", "table select 2 as a, 'two' as b, 20::bigint as n"),
        ("marts.fct", "table select 0 as z, 20::bigint as n, 'two' as b, 2 as a"),
        ("staging.stg", "view select 2 as a, 'two'::text as b, 20::bigint as n"),
        ("staging.stg", "view select 0 as z, 20::bigint as n, 'two'::text as b, 2 as a"),
    ],
)
def test_a_role_that_owns_none_of_the_views_replaces_what_they_stand_on(
    warehouse: Connection, relation: str, built: str
) -> None:
    before, granted = rows(warehouse, STATE), rights(warehouse, relation)
    warehouse.execute("set role modeller")

    replace(warehouse, relation, built)

    assert rows(warehouse, STATE) == before
    assert rights(warehouse, relation) == granted
    view = "own.staged" if relation == "staging.stg" else "own.whole"
    warehouse.execute("set role analyst")
    assert rows(warehouse, f"select a, n from {view}") == [(2, 20)]
    assert rows(warehouse, "select to_regclass('marts.fct__dbt_tmp') is null") == [(True,)]


@pytest.mark.parametrize(
    ("relation", "built"),
    [
        ("marts.fct", "table select 2 as a, 'two' as b, 20::numeric as n, 1 as z"),
        ("marts.fct", "view select 2 as a, 'two'::text as b, 20::bigint as n"),
        ("marts.fct", "view select 20::numeric as n, 'two'::text as b, 2 as a"),
        ("staging.stg", "table select 2 as a, 'two' as b, 20::bigint as n"),
        ("staging.stg", "view select 20::numeric as n, 2 as a"),
    ],
)
def test_views_are_made_again_as_they_were_where_what_they_stand_on_changes_its_shape(
    warehouse: Connection, relation: str, built: str
) -> None:
    before, granted = rows(warehouse, STATE), rights(warehouse, relation)

    replace(warehouse, relation, built)

    assert rows(warehouse, STATE) == before
    assert rights(warehouse, relation) == granted
    view = "own.staged" if relation == "staging.stg" else "own.whole"
    warehouse.execute("set role analyst")
    assert rows(warehouse, f"select a, n from {view}") == [(2, 20)]


def test_columns_that_no_view_needs_come_and_go(warehouse: Connection) -> None:
    warehouse.execute("drop view own.whole cascade")
    warehouse.execute("drop materialized view own.kept")
    warehouse.execute("alter table marts.fct alter column n set not null")
    before = rows(warehouse, STATE)
    warehouse.execute("set role modeller")

    replace(warehouse, "marts.fct", "table select 2::bigint as a, 'two' as b")

    assert rows(warehouse, STATE) == before
    assert rows(warehouse, "select * from marts.fct") == [(2, "two")]
    assert rows(
        warehouse,
        "select indexdef from pg_indexes where schemaname = 'marts' order by 1",
    ) == [
        ("CREATE INDEX by_hand ON marts.fct USING btree (b)",),
        ("CREATE UNIQUE INDEX fedcba9876543210fedcba9876543210 ON marts.fct USING btree (a)",),
    ]


@pytest.mark.parametrize(
    ("role", "relation", "built", "message"),
    [
        (
            "none",
            "marts.fct",
            "table select 2 as a, 20::bigint as n",
            "own.names (owner analyst) stands on marts.fct and cannot be made again for it: col",
        ),
        (
            "none",
            "staging.stg",
            "view select 2 as a",
            "own.staged (owner analyst) stands on staging.stg and cannot be made again for it: col",
        ),
        (
            "modeller",
            "staging.stg",
            "view select 2 as a, 20::numeric as n",
            "own.staged (owner analyst) stands on staging.stg and may not be made again for it: mu",
        ),
    ],
)
def test_a_view_that_cannot_be_made_again_is_named_and_nothing_changes(
    warehouse: Connection, role: str, relation: str, built: str, message: str
) -> None:
    before = rows(warehouse, STATE)
    warehouse.execute(f"set role {role}".encode())

    with pytest.raises(psycopg.errors.RaiseException) as caught:
        replace(warehouse, relation, built)

    assert str(caught.value.diag.message_primary).startswith(f"view {message}")
    assert rows(warehouse, STATE) == before
    assert rows(warehouse, f"select a, n from {relation}") == [(1, 10)]


def test_what_stands_on_a_model_between_outlives_the_moment_in_which_it_does_not_fit(
    warehouse: Connection,
) -> None:
    warehouse.execute("create view staging.model as select a, b from staging.stg")
    warehouse.execute("create view own.upon_model as select a from staging.model")
    warehouse.execute("drop view own.staged")

    replace(warehouse, "staging.stg", "view select 2 as a")

    assert rows(warehouse, "select * from own.upon_model") == []
    replace(warehouse, "staging.model", "view select a, 'new'::text as b from staging.stg")
    assert rows(warehouse, "select * from own.upon_model") == [(2,)]


def test_row_level_security_is_not_lost_with_a_table(warehouse: Connection) -> None:
    warehouse.execute("create policy own on marts.fct using (false)")

    replace(warehouse, "marts.fct", "table select 2 as a, 'two' as b, 20::numeric as n")
    assert rows(warehouse, "select polname::text from pg_policy") == [("own",)]
    with pytest.raises(psycopg.errors.RaiseException, match="row-level security"):
        replace(warehouse, "marts.fct", "view select 2 as a, 'two'::text as b, 20::numeric as n")
