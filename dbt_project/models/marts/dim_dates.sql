-- Every day from the first run to the last. A run with an absurd date, past or future, has its own
-- day and no more: nobody wants the 700,000 days since the year 1.
with run_days as (

    select distinct business_date as date_day
    from {{ ref('fct_test_runs') }}
    where business_date is not null

),

last_day as (

    select {{ latest_business_date(ref('fct_test_runs')) }} as date_day

),

days as (

    select date_day from run_days
    union
    select every_day.moment::date as date_day
    from last_day
    cross join
        generate_series(
            (
                select min(run_days.date_day)
                from run_days
                where run_days.date_day > last_day.date_day - {{ var('dates_max') }}
            )::timestamp,
            last_day.date_day,
            interval '1 day'
        ) as every_day (moment)

),

bounded as (

    select
        date_day,
        {{ business_day_start('date_day') }} as starts_at,
        {{ business_day_start('date_day + 1') }} as ends_at
    from days

)

select
    date_day,
    (select last_day.date_day from last_day) - date_day as days_ago,
    extract(isoyear from date_day)::integer as iso_year,
    extract(week from date_day)::integer as iso_week,
    date_trunc('week', date_day)::date as week_start,
    date_trunc('month', date_day)::date as month_start,
    date_trunc('quarter', date_day)::date as quarter_start,
    extract(year from date_day)::integer as calendar_year,
    extract(isodow from date_day)::integer as iso_weekday,
    extract(isodow from date_day) >= 6 as is_weekend,
    starts_at,
    ends_at,
    (extract(epoch from ends_at - starts_at) / 60)::integer as duration_minutes
from bounded
