"""The business calendar: which day and which period a moment falls into. Nothing else decides that.

Inside, time is UTC; a day begins at midnight in the calendar's time zone, so 16:30 UTC on 30 September is
1 October in Shanghai. Periods are half-open, ``start <= moment < end``, and follow each other without gap.

====== ============ ==================================================================================
kind   label        which
====== ============ ==================================================================================
day    2017-03-31   a day of the time zone
week   2017-W05     seven days; belongs to the year that has most of its days (with Monday first: ISO 8601)
month  2017-03      a calendar month
quarter 2017-Q1     three months, counted from the start of the fiscal year
half   2017-H1      six months, counted from the start of the fiscal year
year   FY2017       a fiscal year, named after the calendar year in which it ends
====== ============ ==================================================================================
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

PeriodKind = Literal["day", "week", "month", "quarter", "half", "year"]
KINDS: Final[tuple[PeriodKind, ...]] = get_args(PeriodKind)
EARLIEST_YEAR, LATEST_YEAR = 1900, 9000
"""Of what people ask for: the periods around their days exist too, of every kind and in every time zone."""
MAX_PERIODS = 10_000  # no report has more columns; a wish for more is a mistyped year

_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "half": 6, "year": 12}
_DAY = timedelta(days=1)
_LABELS: Final[dict[PeriodKind, re.Pattern[str]]] = {
    "day": re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII),
    "week": re.compile(r"(\d{4})-W(\d{2})", re.ASCII),
    "month": re.compile(r"(\d{4})-(\d{2})", re.ASCII),
    "quarter": re.compile(r"(\d{4})-Q([1-4])", re.ASCII),
    "half": re.compile(r"(\d{4})-H([12])", re.ASCII),
    "year": re.compile(r"FY(\d{4})", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Period:
    """A named span of business time: `start` and the exclusive `end` in UTC, its first and its last day."""

    kind: PeriodKind
    label: str
    start: datetime
    end: datetime
    first_day: date
    last_day: date

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """`time_zone` is an IANA name, `fiscal_year_start_month` 1…12, `week_start` 0 (Monday) … 6 (Sunday).

    Raises ValueError for settings that make no calendar. Methods raise ValueError for a moment without a
    time zone and for days outside of the years 1 to 9998.
    """

    time_zone: str = "Asia/Shanghai"
    fiscal_year_start_month: int = 1
    week_start: int = 0

    def __post_init__(self) -> None:
        _zone(self.time_zone)
        if not 1 <= self.fiscal_year_start_month <= 12:
            raise ValueError(f"a fiscal year starts in a month from 1 to 12, not {self.fiscal_year_start_month}")
        if not 0 <= self.week_start <= 6:
            raise ValueError(f"a week starts on a day from 0 (Monday) to 6 (Sunday), not {self.week_start}")

    def start_of_day(self, day: date) -> datetime:
        """The moment the day begins, in UTC."""
        _check_year(day.year)
        try:
            # fold=0: of a midnight that exists twice the first; of one that was jumped over, the one on
            # clocks that had not been moved.
            return datetime.combine(day, time(), _zone(self.time_zone)).astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{day} is out of range") from None

    def end_of_day(self, day: date) -> datetime:
        """The moment the day is over, the first of the next one: exclusive. "On 30 June" ends here."""
        _check_year(day.year)
        return self.start_of_day(day + _DAY)

    def day_of(self, moment: datetime) -> date:
        if moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no time zone; a moment is UTC or carries its offset")
        try:
            day = moment.astimezone(_zone(self.time_zone)).date()
        except OverflowError:
            raise ValueError(f"{moment.isoformat()} is out of range") from None
        # Clocks that were moved across midnight (Newfoundland until 2011, Toronto in 1919) make the date on
        # the wall and the day's bounds disagree for a while. The bounds decide: no gap, no overlap.
        if moment >= self.end_of_day(day):
            return day + _DAY
        if moment < self.start_of_day(day):
            return day - _DAY
        return day

    def period_of(self, moment: datetime, kind: PeriodKind) -> Period:
        """The period of this kind that the moment falls into."""
        return self.period_of_day(self.day_of(moment), kind)

    def period_of_day(self, day: date, kind: PeriodKind) -> Period:
        _check_year(day.year)
        if kind == "day":
            return self._span(kind, day.isoformat(), day, day + _DAY)
        if kind == "week":
            first = day - timedelta(days=(day.weekday() - self.week_start) % 7)
            middle = first + timedelta(days=3)
            number = (middle.timetuple().tm_yday - 1) // 7 + 1
            return self._span(kind, f"{middle.year:04d}-W{number:02d}", first, first + timedelta(days=7))
        if kind == "month":
            return self._months(kind, day.year, day.month)
        if kind in _MONTHS:
            since_start = (day.month - self.fiscal_year_start_month) % 12
            return self._months(kind, day.year, day.month - since_start % _MONTHS[kind])
        raise ValueError(f"{kind!r} is no kind of period; there are {', '.join(KINDS)}")

    def parse(self, label: str) -> Period:
        """The period of a label as above. Raises ValueError for any other text, saying what is right."""
        for kind, pattern in _LABELS.items():
            if match := pattern.fullmatch(label):
                try:
                    return self._numbered(kind, *(int(part) for part in match.groups()))
                except (ValueError, OverflowError) as problem:
                    raise ValueError(f"there is no period {label!r}: {problem}") from None
        raise ValueError(
            f"{label!r} is not a period; write a day 2017-03-31, a week 2017-W05, a month 2017-03, "
            "a quarter 2017-Q1, a half-year 2017-H1 or a year FY2017"
        )

    def asked(self, label: str) -> Period:
        """As `parse`, of the years 1900 to 9000 alone."""
        period = self.parse(label)
        if not EARLIEST_YEAR <= period.first_day.year <= period.last_day.year <= LATEST_YEAR:
            raise ValueError(f"{label!r} is out of range: years {EARLIEST_YEAR} to {LATEST_YEAR}")
        return period

    def periods(self, start: datetime, end: datetime, kind: PeriodKind) -> list[Period]:
        """All periods of a kind that overlap ``start <= moment < end``, in order; none when end <= start.

        Raises ValueError when there are more than 10,000.
        """
        found: list[Period] = []
        if end <= start:
            return found
        period = self.period_of(start, kind)
        while True:
            found.append(period)
            if period.end >= end:
                return found
            if len(found) == MAX_PERIODS:
                raise ValueError(f"more than {MAX_PERIODS} periods of kind {kind} between {start} and {end}")
            period = self.following(period)

    def following(self, period: Period) -> Period:
        return self.period_of_day(period.last_day + _DAY, period.kind)

    def preceding(self, period: Period) -> Period:
        return self.period_of_day(period.first_day - _DAY, period.kind)

    def _numbered(self, kind: PeriodKind, year: int, *numbers: int) -> Period:
        _check_year(year)
        if kind == "day":
            return self.period_of_day(date(year, *numbers), kind)
        if kind == "week":
            # 4 January is always in week 1: at most three days of its week can be in the old year.
            period = self.period_of_day(date(year, 1, 4) + timedelta(weeks=numbers[0] - 1), kind)
            if int(period.label[:4]) != year or not numbers[0]:
                raise ValueError(f"{year} has no week {numbers[0]}")
            return period
        if kind == "month":
            return self.period_of_day(date(year, numbers[0], 1), kind)
        start_month = self.fiscal_year_start_month
        count = numbers[0] if numbers else 1
        start_year = year if start_month == 1 else year - 1
        return self._months(kind, start_year, start_month + (count - 1) * _MONTHS[kind])

    def _months(self, kind: PeriodKind, year: int, month: int) -> Period:
        """The period that begins with this month; below 1 or above 12 it is one of a neighbouring year."""
        first, after = _first_of(year, month), _first_of(year, month + _MONTHS[kind])
        if kind == "month":
            return self._span(kind, f"{first.year:04d}-{first.month:02d}", first, after)
        since_start = (first.month - self.fiscal_year_start_month) % 12
        fiscal_year = (_first_of(first.year, first.month - since_start + 12) - _DAY).year
        if kind == "year":
            return self._span(kind, f"FY{fiscal_year:04d}", first, after)
        number = since_start // _MONTHS[kind] + 1
        return self._span(kind, f"{fiscal_year:04d}-{kind[0].upper()}{number}", first, after)

    def _span(self, kind: PeriodKind, label: str, first: date, after: date) -> Period:
        return Period(kind, label, self.start_of_day(first), self.start_of_day(after), first, after - _DAY)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)  # cached by zoneinfo itself
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as Asia/Shanghai or UTC") from None


def _first_of(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def _check_year(year: int) -> None:
    if not 1 <= year <= 9998:
        raise ValueError(f"the year {year} is out of range")
