"""What a report speaks of: whole business days up to a moment, at which it looks back."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pipelines.errors import SettingsError

# Eight weeks: four weeks of a baseline, the week that is compared with it, and some trend.
_DEFAULT_DAYS = 56
# A chart of more than ten years of weeks shows nothing.
_MOST_DAYS = 3660


@dataclass(frozen=True)
class Period:
    """From the business day of `since` to that of `as_of`, both UTC; business days are in `zone`.

    "Last night" is the 24 hours before `as_of`.
    """

    since: datetime
    as_of: datetime
    zone: str

    @property
    def first_day(self) -> date:
        """The first business day."""
        return self.since.astimezone(ZoneInfo(self.zone)).date()

    @property
    def last_day(self) -> date:
        """The last one, which `as_of` ends: midnight still ends the day before."""
        last = self.as_of - timedelta(microseconds=1)
        return last.astimezone(ZoneInfo(self.zone)).date()

    @property
    def days(self) -> int:
        """How many days these are."""
        return (self.last_day - self.first_day).days + 1


def choose_period(
    since: datetime | None, until: datetime | None, now: datetime, zone: str
) -> Period:
    """The period that the options ask for: by default the 56 business days up to now.

    At most ten years, of an earlier `since` the last ten. Raises SettingsError where no moment of
    the past lies between the two.
    """
    if since is not None and until is not None and until <= since:
        raise SettingsError("--until: must be later than --since")
    if since is not None and since >= now:
        raise SettingsError("--since: lies in the future, where no run is")
    as_of = now if until is None else min(until, now)
    try:
        earliest = as_of - timedelta(days=_MOST_DAYS)
    except OverflowError:
        raise SettingsError("--until: lies too far in the past") from None
    days_before = timedelta(days=_DEFAULT_DAYS - 1)
    first_day = Period(as_of, as_of, zone).last_day - days_before
    midnight = datetime.combine(first_day, time(), ZoneInfo(zone)).astimezone(UTC)
    return Period(max(since or midnight, earliest), as_of, zone)
