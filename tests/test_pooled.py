"""KoreanHolidays against loops over dates, the prior that it documents, and a series whose effects are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tsforecast import Prophet, Regressor
from tsforecast.calendars.day_columns import DayColumns
from tsforecast.calendars.pooled import KoreanHolidays
from tsforecast.datasets import load
from tsforecast.errors import ConfigError

WINDOW = range(-14, 8)
FIRST, LAST = date(2010, 1, 1), date(2030, 12, 31)


def number(day: date | str) -> int:
    day = date.fromisoformat(day) if isinstance(day, str) else day
    return (day - date(1970, 1, 1)).days


@cache
def names_of() -> dict[date, str]:
    years = range(FIRST.year - 1, LAST.year + 2)
    return dict(holidays.country_holidays("KR", years=years, categories=("public", "bank"), language="ko"))


@cache
def lunar(feast: str) -> list[date]:
    name = {"seollal": "설날", "chuseok": "추석"}[feast]
    return [day for day, names in names_of().items() if name in names.split("; ")]


@cache
def table() -> DayColumns:
    return KoreanHolidays().columns(number(FIRST), number(LAST))


def is_off(day: date) -> bool:
    return day.weekday() >= 5 or day in names_of()


def run_of(day: date) -> list[date]:
    """The days off in a row around a day off, written out."""
    days = [day]
    while is_off(days[0] - timedelta(1)):
        days.insert(0, days[0] - timedelta(1))
    while is_off(days[-1] + timedelta(1)):
        days.append(days[-1] + timedelta(1))
    return days


def is_special(day: date) -> bool:
    return is_off(day) and any(one.weekday() < 5 for one in run_of(day))


def is_of_feast(day: date) -> bool:
    own = {feast + timedelta(k) for name in ("seollal", "chuseok") for feast in lunar(name) for k in (-1, 0, 1)}
    return is_off(day) and not own.isdisjoint(run_of(day))


def is_bridge(day: date) -> bool:
    return not is_off(day) and is_off(day - timedelta(1)) and is_off(day + timedelta(1))


def place(day: date, which: str) -> bool:
    if not is_special(day):
        return False
    run = run_of(day)
    found = "first" if day == run[0] else "last" if day == run[-1] else "middle"
    return len(run) >= 3 and which == found


def holiday_on(*weekdays: int) -> Callable[[date], float]:
    return lambda day: float(day in names_of() and day.weekday() in weekdays)


def near(feast: str, window: range) -> Callable[[date], float]:
    return lambda day: float(any((day - one).days in window for one in lunar(feast)))


def beside(step: int) -> Callable[[date], float]:
    return lambda day: float(not is_off(day) and not is_bridge(day) and is_special(day + timedelta(step)))


def length(day: date) -> float:
    return (min(len(run_of(day)), 6) - 1) / 5 if is_special(day) else 0.0


def fading(start: int, on: Callable[[date], float]) -> Callable[[date], float]:
    """Eight eighths of a step in its first year, seven in the next, ..., at a variance of 1."""
    left = {start + age: float((8 - age) / np.sqrt(204)) for age in range(8)}
    return lambda day: left.get(day.year, 0.0) * on(day)


BY_HAND: dict[str, Callable[[date], float]] = {
    "off_weekday": holiday_on(0, 1, 2, 3, 4),
    "off_saturday": holiday_on(5),
    "new_year": lambda day: float((day.month, day.day) == (1, 1)),
    "memorial": lambda day: float((day.month, day.day) == (6, 6)),
    "election": lambda day: float("선거" in names_of().get(day, "")),
    "substitute": lambda day: float("대체 휴일" in names_of().get(day, "")),
    "national=제헌절": lambda day: float(day.year >= 2026 and (day.month, day.day) == (7, 17)),
    "off_weekday:from2010": fading(2010, holiday_on(0, 1, 2, 3, 4)),
    "off_weekday:from2003": fading(2003, holiday_on(0, 1, 2, 3, 4)),
    "year_end:from2017": fading(2017, lambda day: float((day.month, day.day) in ((1, 1), (12, 25)))),
    "seollal": near("seollal", range(-1, 2)),
    "chuseok": near("chuseok", range(-1, 2)),
    "chuseok@2017": lambda day: float((day - date(2017, 10, 4)).days in WINDOW),
    "run_first": lambda day: float(place(day, "first")),
    "run_middle": lambda day: float(place(day, "middle")),
    "run_last": lambda day: float(place(day, "last")),
    "run_length": length,
    "feast_weekday": lambda day: float(is_of_feast(day) and day.weekday() < 5),
    "feast_saturday": lambda day: float(is_of_feast(day) and day.weekday() == 5),
    "feast_sunday": lambda day: float(is_of_feast(day) and day.weekday() == 6),
    "bridge": lambda day: float(is_bridge(day) and (is_special(day - timedelta(1)) or is_special(day + timedelta(1)))),
    "before_run": beside(1),
    "after_run": beside(-1),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_column_is_what_a_loop_over_the_dates_finds(name: str) -> None:
    days = [FIRST + timedelta(k) for k in range((LAST - FIRST).days + 1)]
    wanted = np.array([BY_HAND[name](day) for day in days])
    assert wanted.any()
    columns = table()
    found = columns.at(np.array([number(day) for day in days]))[:, columns.names.index(f"KR:{name}")]
    np.testing.assert_array_equal(found, wanted)


def test_a_day_of_two_names_is_one_holiday() -> None:
    columns = table()
    family = np.array(columns.component)
    for day, kind in (("2025-05-05", "children"), ("2025-05-06", "substitute"), ("2017-10-03", "chuseok")):
        row = columns.at(np.array([number(day)]))[0]
        own = {component for component in family[row != 0] if component in ("children", "buddha", "national", kind)}
        assert own == {kind}
        shares = [value for value, name in zip(row, columns.names, strict=True) if "=" in name and value]
        assert not shares or sum(shares) == 1


def prior_covariance(columns: DayColumns, days: list[str]) -> np.ndarray:
    """Of the effects of some days, by the prior of the coefficients."""
    rows = columns.at(np.array([number(day) for day in days]))
    return (rows * columns.scale**2) @ rows.T


def test_effects_around_a_feast_are_a_random_walk_that_ends_at_zero() -> None:
    pooled = KoreanHolidays(pool_scale=0.07, window=(-9, 6))
    columns = pooled.columns(number(FIRST), number(LAST))
    names, weights = pooled.effects(columns)
    steps = weights.copy()
    steps[:, [columns.names.index("KR:seollal"), columns.names.index("KR:chuseok")]] = 0
    found = (steps * columns.scale**2) @ steps.T
    # A walk of 17 steps from 0, conditioned on where the last one leads: the complement of Schur.
    walk = np.tril(np.ones((17, 17)))
    free = 0.07**2 * walk @ walk.T
    bridge = free[:-1, :-1] - np.outer(free[:-1, -1], free[-1, :-1]) / free[-1, -1]
    np.testing.assert_allclose(found, np.kron(np.eye(2), bridge), atol=1e-14)
    assert names[0] == "KR:seollal-9"
    assert names[9] == "KR:seollal+0"
    assert names[-1] == "KR:chuseok+6"


def test_names_of_a_family_share_what_is_wide_and_keep_what_is_narrow() -> None:
    # Constitution Day and Hangul Day 2026: both Fridays, both the first of three days off.
    columns = KoreanHolidays(prior_scale=3.0, pool_scale=0.07).columns(number(FIRST), number(LAST))
    cov = prior_covariance(columns, ["2026-07-17", "2026-10-09"])
    difference = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
    np.testing.assert_allclose(difference, 2 * 0.035**2, rtol=1e-10)
    common = 3.0**2 + 0.07**2 * (1 + 0.4**2)  # off on a weekday, the first of three days
    np.testing.assert_allclose(cov[0, 1], 3.0**2 + common + 0.035**2, rtol=1e-10)
    # Memorial Day is of another family, and 2025 shares seven of the eight years that 2026 builds on.
    other = prior_covariance(columns, ["2026-07-17", "2025-06-06"])
    shared = sum(left * (left + 1) for left in range(1, 8)) / 204
    np.testing.assert_allclose(other[0, 1], common + 0.035**2 * shared, rtol=1e-10)


def test_a_substitute_is_nearly_a_holiday_like_others() -> None:
    # Mondays of one year, each the last of three days off: substitutes for a national day and for Buddha's.
    columns = KoreanHolidays(prior_scale=3.0, pool_scale=0.07).columns(number(FIRST), number(LAST))
    cov = prior_covariance(columns, ["2026-03-02", "2026-05-25"])
    np.testing.assert_allclose(cov[0, 1], 3.0**2 + 0.07**2 * (1 + 1 + 0.4**2) + 0.035**2, rtol=1e-10)
    np.testing.assert_allclose(np.diag(cov), cov[0, 1] + 0.035**2, rtol=1e-10)


def test_the_last_years_say_most_about_the_next() -> None:
    days = pd.date_range("2013-01-01", "2018-12-31")
    holiday = np.array([day.date() in names_of() and day.weekday() < 5 for day in days])
    growing = 5 + 2 * (days.year.to_numpy() - 2013)  # 15 in the last year, 10 on average, 17 in the next
    noise = np.random.default_rng(3).normal(size=len(days))
    rows = pd.DataFrame({"ds": days, "y": 100 - holiday * growing + noise})
    ahead = Prophet(holidays=KoreanHolidays()).fit(rows).components(70)
    ahead = ahead[ahead["ds"] == "2019-03-01"]
    found = ahead.drop(columns=["ds", "trend", "yearly", "weekly", "Prophet"]).sum(axis=1).item()
    assert -18 < found < -13


def test_a_year_of_its_own_leaves_the_next_one_alone() -> None:
    columns = KoreanHolidays(pool_scale=0.07).columns(number(FIRST), number(LAST))
    own = [i for i, name in enumerate(columns.names) if "@" in name]
    alone = columns.take(own)
    # Seollal 2019 and 2020, ten days before: ordinary Saturdays and Wednesdays.
    cov = prior_covariance(alone, ["2019-01-26", "2019-01-27", "2020-01-15"])
    np.testing.assert_allclose(cov, 0.07**2 * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]]), atol=1e-15)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["seollal", "chuseok"]), st.integers(2010, 2030))
@settings(max_examples=25, deadline=None)
def test_an_effect_by_offset_is_what_that_day_gets(seed: int, feast: str, year: int) -> None:
    pooled, columns = KoreanHolidays(), table()
    names, weights = pooled.effects(columns)
    beta = np.random.default_rng(seed).normal(size=len(columns.names))
    day = next(day for day in lunar(feast) if day.year == year)
    rows = columns.at(np.array([number(day) + offset for offset in WINDOW]))
    own = [i for i, name in enumerate(columns.names) if name.startswith(f"KR:{feast}") and "@" not in name]
    first = names.index(f"KR:{feast}-14")
    np.testing.assert_allclose((weights @ beta)[first : first + 22], rows[:, own] @ beta[own], atol=1e-12)


@given(st.integers(12_000, 20_000), st.integers(0, 400), st.integers(0, 800), st.integers(0, 800))
@example(17_446, 10, 20, 0)  # begins on 2017-10-07, in the run of Chuseok but behind its holidays
@settings(max_examples=15, deadline=None)
def test_what_a_day_gets_does_not_depend_on_the_span(first: int, more: int, before: int, after: int) -> None:
    days = np.arange(first, first + more + 1)
    narrow = KoreanHolidays().columns(first, first + more)
    wide = KoreanHolidays().columns(first - before, first + more + after)
    assert np.all((narrow.day >= first) & (narrow.day <= first + more))
    few, many = narrow.at(days), wide.at(days)
    for i, name in enumerate(wide.names):
        mine = few[:, narrow.names.index(name)] if name in narrow.names else np.zeros(len(days))
        np.testing.assert_array_equal(mine, many[:, i], err_msg=name)
    scales = dict(zip(wide.names, wide.scale, strict=True))
    assert [scales[name] for name in narrow.names] == narrow.scale.tolist()


def test_overrides_are_taken_as_a_table_or_as_columns() -> None:
    rows = {
        "date": ["2024-03-01", "2024-04-10", "2024-05-20"],
        "name": ["", "국회의원 선거일", "창립 기념일"],
        "family": ["", "temporary", "national"],
    }
    pooled = KoreanHolidays(overrides=pd.DataFrame(rows))
    assert pooled == KoreanHolidays(overrides=rows)
    columns = pooled.columns(number("2023-01-01"), number("2025-12-31"))
    values = columns.at(np.array([number(day) for day in rows["date"]]))
    component = np.array(columns.component)
    assert [set(component[row != 0]) for row in values] == [
        set(),
        {"off_weekday", "temporary"},
        {"off_weekday", "national", "run"},
    ]


def test_two_days_off_have_no_middle_and_no_ends() -> None:
    pooled = KoreanHolidays(overrides={"date": ["2024-05-02"], "name": ["창립 기념일"]})
    columns = pooled.columns(number("2024-01-01"), number("2024-12-31"))
    row = columns.at(np.array([number("2024-05-02")]))[0]
    held = {name.removeprefix("KR:"): value for name, value in zip(columns.names, row, strict=True) if value}
    wandering = {f"off_weekday:from{2024 - age}": (8 - age) / np.sqrt(204) for age in range(8)}
    own = {"off_weekday": 1, "temporary": 1, "temporary=창립 기념일": 1, "run_length": 0.2}
    assert held == pytest.approx(own | wandering)


def test_days_beyond_the_calendar_are_not_covered() -> None:
    early = KoreanHolidays().columns(number("1940-01-01"), number("1950-01-01"))
    assert early.first == number("1948-01-01")
    assert KoreanHolidays().columns(number("2090-01-01"), number("2110-01-01")).last == number("2100-12-31")
    with pytest.raises(ConfigError, match="covers 1948 to 2100"):
        KoreanHolidays().columns(number("2101-01-01"), number("2110-01-01"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"prior_scale": 0}, "prior_scale must be a number above 0, got 0"),
        ({"pool_scale": float("nan")}, "pool_scale must be a number above 0, got nan"),
        ({"pool_scale": "wide"}, "pool_scale must be a number above 0, got 'wide'"),
        ({"window": 7}, "window must be two whole numbers"),
        ({"window": (0, 7)}, "minus the first day of window must be a whole number of at least 1"),
        ({"window": (-14, 0)}, "the last day of window must be a whole number of at least 1"),
        ({"window": (-14.5, 7)}, "minus the first day of window must be a whole number"),
        ({"window": (-90, 7)}, "window must lie within 40 days"),
        ({"mode": "both"}, "mode must be additive, multiplicative or None, got 'both'"),
        ({"overrides": {"date": ["2024-05-20"]}}, "need the columns date and name"),
    ],
)
def test_parameters_that_cannot_work_are_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        KoreanHolidays(**given)  # type: ignore[arg-type]


# Prophet with these columns, on stores whose effects are known.


@cache
def stores() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, truth = load("retail_kr", truth=True)
    return rows, truth.effects


@cache
def fitted(holidays: KoreanHolidays | str) -> Prophet:
    return Prophet(
        holidays=holidays,
        regressors=[Regressor("promo")],
        changepoints=["2020-01-25", "2020-02-29"],
        changepoint_prior_scale=10,
    ).fit(stores()[0])


def parts_of(model: Prophet, *days: str) -> pd.DataFrame:
    """Components of forecasts without promotions."""
    future = model.make_future(570).assign(promo=0)
    ahead = model.components(570, future=future)
    return ahead[ahead["ds"].isin(pd.to_datetime(days))]


def test_new_laws_have_an_effect_on_their_first_day() -> None:
    level = stores()[1].query("term == 'level'").set_index("unique_id")["value"]
    ahead = parts_of(fitted(KoreanHolidays()), "2026-05-01", "2026-07-17")
    # As the stores were made: 5 % for labor, 3 % for national, each with 5 % for off_weekday.
    for day, family, wanted in (("2026-05-01", "labor", 0.10), ("2026-07-17", "national", 0.08)):
        found = ahead[ahead["ds"] == day].set_index("unique_id")
        share = found[["off_weekday", family, "run"]].sum(axis=1) / level[found.index]
        assert (share - wanted).abs().max() < 0.05
        assert abs(share.mean() - wanted) < 0.01


def test_one_free_effect_a_name_knows_nothing_of_a_new_law() -> None:
    ahead = parts_of(fitted("KR"), "2026-05-01", "2026-07-17")
    parts = ahead.columns.difference(["unique_id", "ds", "trend", "yearly", "weekly", "Prophet"])
    assert len(parts) > 15
    assert not ahead[parts].any(axis=None)


def test_known_effects_lie_in_their_intervals() -> None:
    truth = stores()[1]
    both = truth.merge(fitted(KoreanHolidays()).effects(levels=[95]), on=["unique_id", "term"], validate="one_to_one")
    known = both[both["term"].str.match("KR:|promo|change:")]
    assert Counter(known["term"]).keys() == {
        *(f"KR:{feast}{offset:+d}" for feast in ("seollal", "chuseok") for offset in WINDOW),
        *(term for term in truth["term"] if term.startswith("KR:") and term[3:] in table().component),
        "promo", "change:2020-01-25", "change:2020-02-29",
    }  # fmt: skip
    inside = known["value"].between(known["lo-95"], known["hi-95"])
    assert inside.mean() >= 0.9
    assert inside.groupby(known["term"]).mean().min() >= 0.75  # 40 stores a term
    # Intervals as wide as the effects would hold anything; these reach from -30 % to 20 % of a store's level.
    level = known["unique_id"].map(truth[truth["term"] == "level"].set_index("unique_id")["value"])
    width = (known["hi-95"] - known["lo-95"]) / level
    assert width[known["term"].str.startswith("KR:")].median() < 0.12
