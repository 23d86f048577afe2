-- By which definition each incremental model was built, so that a changed one is built anew.

create table ingest.model_definitions (
    model_name text primary key,
    definition text not null,
    built_at timestamptz not null default now()
);
comment on table ingest.model_definitions is
'One row an incremental dbt model: the definition by which all of its rows were built.';
comment on column ingest.model_definitions.model_name is 'The model''s name in dbt.';
comment on column ingest.model_definitions.definition is
'Digest of the dbt project''s SQL and of its vars (macro model_definition).';
comment on column ingest.model_definitions.built_at is 'When it was first built by it, UTC.';
