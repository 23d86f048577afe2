-- How many runs a walk down a list has been shown, against the total that the list announces: kept
-- with the walk, so that a list that ends too early is noticed by the load that goes on with it.

alter table ingest.walks
add column runs_listed bigint,
add column longest_page bigint,
add column announced_total bigint;
comment on column ingest.walks.runs_listed is
'Runs that the unfinished walk has been shown; null: none is under way, or not from the top.';
comment on column ingest.walks.longest_page is 'Runs on the longest page of the unfinished walk.';
comment on column ingest.walks.announced_total is
'Lowest total that the list has announced to the unfinished walk; null: none.';
