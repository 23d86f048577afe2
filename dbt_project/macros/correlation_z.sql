{#- How sure a correlation is, as a standard normal deviate: that of a value per day with whether the day
    is of the recent ones, so that a difference between two groups of days is measured by how much days
    differ within each. Student's t of the two means is r * sqrt(df / (1 - r * r)), df = days - 2;
    sqrt((df - 1 / 2) * ln(1 + t * t / df)) makes it a normal deviate, which one threshold judges for any
    number of days: 2.3 is t = 2.4 for 35 days and t = 4.7 for 5. Null with fewer than 3 days.
    (D. L. Wallace, Bounds on Normal Approximations to Student's and the Chi-Square Distributions, 1959.)

    correlation  r, from -1 to 1; the bound of 1e-9 is for days of which all are alike, where r is 1
    days         how many values it is of -#}
{% macro correlation_z(correlation, days) -%}
    case
        when {{ days }} > 2
            then sign({{ correlation }}) * sqrt(
                ({{ days }} - 2.5::double precision)
                * -ln(greatest(1 - {{ correlation }} * {{ correlation }}, 1e-9))
            )
    end
{%- endmacro %}
