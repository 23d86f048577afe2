-- By what a file that was offered is known again without reading it: the folder of
-- TESTRUNS_REPORTS_DIR is looked at each minute. And which files are no reports at all.

alter table ingest.imported_files add column modified_at timestamptz;
alter table ingest.imported_files add column is_foreign boolean not null default false;
create index imported_files_by_path on ingest.imported_files (md5(path));
comment on column ingest.imported_files.modified_at is
'When the file was last written as it was offered, UTC; null: it could not be read.';
comment on column ingest.imported_files.is_foreign is
'It is of another kind, as a picture or a log beside reports, and nothing is wrong with it.';
