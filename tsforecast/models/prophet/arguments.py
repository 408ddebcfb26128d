"""What cannot work in the arguments of Prophet's model: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np

from tsforecast.calendars.almanac import Almanac
from tsforecast.calendars.named import check_country, read_stamps, table_rows
from tsforecast.calendars.pooled import KoreanHolidays
from tsforecast.errors import ConfigError, listed, whole
from tsforecast.models.prophet.holidays import holiday_parts, is_table
from tsforecast.models.prophet.terms import Regressor, Seasonality, regressors_of

__all__ = ["Arguments", "check_arguments", "check_names"]

_MODES = ("additive", "multiplicative")
_BUILT_IN = ("yearly", "weekly", "daily")
_STAN_ALONE = {"mcmc_samples": 0, "uncertainty_samples": 1000, "stan_backend": None}
# Names of Prophet's own columns, in its tables and in ours.
_SUMS = (
    "trend", "additive_terms", "multiplicative_terms", "holidays", "zeros", "yhat",
    "extra_regressors_additive", "extra_regressors_multiplicative",
)  # fmt: skip
_RESERVED = frozenset(
    {f"{name}{end}" for name in (*_SUMS, *_BUILT_IN) for end in ("", "_lower", "_upper")}
    | {"ds", "y", "cap", "floor", "y_scaled", "cap_scaled", "unique_id"}
)


class Arguments(Protocol):
    """The arguments of Prophet's model, as fields."""

    growth: Any
    changepoints: Any
    n_changepoints: Any
    changepoint_range: Any
    holidays: Any
    seasonality_mode: Any
    holidays_mode: Any
    holidays_prior_scale: Any
    interval_width: Any
    mcmc_samples: Any
    uncertainty_samples: Any
    stan_backend: Any
    scaling: Any
    engine: Any
    seasonalities: Any
    regressors: Any
    past: Any
    known: Any
    calendar: Any
    on_error: Any


def check_arguments(model: Arguments) -> None:
    """ConfigError for the first argument that cannot work, whatever the data."""
    _choice("engine", model.engine, ("map", "stan"))
    _choice("growth", model.growth, ("linear", "logistic", "flat"))
    _choice("scaling", model.scaling, ("absmax", "minmax"))
    _choice("seasonality_mode", model.seasonality_mode, _MODES)
    if model.holidays_mode is not None:
        _choice("holidays_mode", model.holidays_mode, _MODES)
    for name in ("seasonality_prior_scale", "holidays_prior_scale", "changepoint_prior_scale"):
        _positive(name, getattr(model, name))
    _check_numbers(model)
    _check_stan(model)
    for name in _BUILT_IN:
        _check_order(f"{name}_seasonality", getattr(model, f"{name}_seasonality"))
    _check_changepoints(model.changepoints)
    if model.past:
        raise ConfigError(
            f"past={tuple(model.past)!r} cannot be used: Prophet's model needs the values of a column for the rows "
            "that it forecasts. Give them with regressors=(Regressor(name),) and, ahead, with future="
        )
    _check_seasonalities(model)
    _check_regressors(model)
    _check_holidays(model)


def check_names(holidays: Iterable[str], seasonalities: Iterable[str], columns: Iterable[str]) -> None:
    """ConfigError where a holiday bears the name of a seasonality or of a column of the data: sums would be mixed."""
    taken = dict.fromkeys((*_BUILT_IN, *seasonalities), "a seasonality")
    taken |= dict.fromkeys(columns, "a column of the data")
    for name in dict.fromkeys(holidays):
        if name in taken:
            raise ConfigError(f"holidays: {name!r} is also the name of {taken[name]}; rename one of them")


def _near(value: object, choices: Sequence[str]) -> str:
    near = get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _choice(name: str, value: object, choices: Sequence[str]) -> None:
    if not (isinstance(value, str) and value in choices):
        known = " or ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{name} must be {known}, got {value!r}{_near(value, choices)}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _positive(name: str, value: Any, unit: str = "") -> None:
    if not (_is_number(value) and value > 0):
        raise ConfigError(f"{name} must be a number{unit} above 0, got {value!r}")


def _check_numbers(model: Arguments) -> None:
    whole("n_changepoints", model.n_changepoints, 0)
    if not (_is_number(model.changepoint_range) and 0 <= model.changepoint_range <= 1):
        raise ConfigError(f"changepoint_range must be a share of the history, 0 to 1, got {model.changepoint_range!r}")
    if not (_is_number(model.interval_width) and 0 < model.interval_width < 1):
        hint = f"; write {model.interval_width / 100:g}" if _is_percent(model.interval_width) else ""
        raise ConfigError(f"interval_width must lie between 0 and 1, got {model.interval_width!r}{hint}")
    whole("mcmc_samples", model.mcmc_samples, 0)
    if model.uncertainty_samples is not False:
        whole("uncertainty_samples", model.uncertainty_samples, 0)


def _is_percent(value: Any) -> bool:
    return _is_number(value) and 1 < value < 100


def _check_stan(model: Arguments) -> None:
    """Options that only Stan has would have no effect on the exact mode."""
    if model.engine == "stan":
        if model.stan_backend is not None and not isinstance(model.stan_backend, str):
            raise ConfigError(f"stan_backend must be a name such as 'CMDSTANPY', or None, got {model.stan_backend!r}")
        return
    given = [name for name, usual in _STAN_ALONE.items() if getattr(model, name) != usual]
    if given:
        said = ", ".join(f"{name}={getattr(model, name)!r}" for name in given)
        raise ConfigError(f'{said} has no meaning under engine="map": leave it out, or set engine="stan"')


def _check_order(name: str, value: object) -> None:
    if isinstance(value, bool) or value == "auto":
        return
    if not (isinstance(value, Integral) and int(value) >= 0):
        raise ConfigError(f"{name} must be 'auto', True, False, or a Fourier order from 1, got {value!r}")


def _check_changepoints(changepoints: Any) -> None:
    if changepoints is None:
        return
    if isinstance(changepoints, str) or not hasattr(changepoints, "__iter__"):
        hint = f"; write changepoints=[{changepoints!r}]" if isinstance(changepoints, str) else ""
        raise ConfigError(f"changepoints must be a list of dates, got {changepoints!r}{hint}")
    nested = [one for one in changepoints if isinstance(one, list | tuple | dict | set)]
    if nested:
        raise ConfigError(f"changepoints must hold dates such as '2020-01-25', got {nested[0]!r}")
    read_stamps(changepoints, "changepoints")


def _check_name(what: str, name: object, reserved: frozenset[str] = _RESERVED) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{what} needs a name, got {name!r}")
    if name in ("cap", "floor"):
        raise ConfigError(f'{name!r} is no term: under growth="logistic" the column is found by its name; leave it out')
    if name in reserved:
        raise ConfigError(f"{what} cannot be called {name!r}, which is a name of Prophet's own columns; rename it")
    if "_delim_" in name:
        raise ConfigError(f"{what} cannot have '_delim_' in its name, got {name!r}; rename it")


def _terms(name: str, terms: Any, kind: type) -> tuple[Any, ...]:
    """The terms as a tuple, regressors from their names too; ConfigError for what is none, or has a name twice."""
    example = {Seasonality: 'Seasonality("monthly", 30.5, 5)', Regressor: 'Regressor("promo")'}[kind]
    if isinstance(terms, kind) or not isinstance(terms, list | tuple):
        raise ConfigError(f"{name} must be a tuple such as ({example},), got {terms!r}")
    terms = regressors_of(terms) if kind is Regressor else terms
    for term in terms:
        if not isinstance(term, kind):
            raise ConfigError(f"{name} must hold values such as {example}, got {term!r}")
    names = [term.name for term in terms]
    twice = list(dict.fromkeys(one for one in names if names.count(one) > 1))
    if twice:
        raise ConfigError(f"{name} hold {listed(map(repr, twice))} twice; name each once")
    return tuple(terms)


def _check_term(what: str, term: Any) -> None:
    if term.prior_scale is not None:
        _positive(f"prior_scale of {what}", term.prior_scale)
    if term.mode is not None:
        _choice(f"mode of {what}", term.mode, _MODES)


def _check_seasonalities(model: Arguments) -> None:
    for term in _terms("seasonalities", model.seasonalities, Seasonality):
        _check_name("a seasonality", term.name, _RESERVED - set(_BUILT_IN))
        what = f"seasonality {term.name!r}"
        _positive(f"period of {what}", term.period, " of days")
        whole(f"fourier_order of {what}", term.fourier_order, 1)
        _check_term(what, term)
        if term.condition_name is not None:
            _check_name(f"the condition of {what}", term.condition_name)
        built_in = f"{term.name}_seasonality"
        if term.name in _BUILT_IN and getattr(model, built_in) not in ("auto", False):
            raise ConfigError(
                f"{what} and {built_in}={getattr(model, built_in)!r} are two seasonalities of one name; "
                f"set {built_in}=False, or leave the other out"
            )


def _check_regressors(model: Arguments) -> None:
    regressors = _terms("regressors", model.regressors, Regressor)
    for term in regressors:
        what = f"regressor {term.name!r}"
        _check_name("a regressor", term.name)
        _check_term(what, term)
        if not (isinstance(term.standardize, bool) or term.standardize == "auto"):
            raise ConfigError(f"standardize of {what} must be 'auto', True or False, got {term.standardize!r}")
    for name in model.known:
        _check_name("a known column", name)
    columns = [*(term.name for term in regressors), *model.known]
    twice = list(dict.fromkeys(name for name in columns if columns.count(name) > 1))
    if twice:
        raise ConfigError(
            f"{listed(map(repr, twice))} is named twice in known and regressors; a known column is a regressor already"
        )
    _check_apart(columns, model.seasonalities)


def _check_apart(columns: Sequence[str], seasonalities: Sequence[Seasonality]) -> None:
    """ConfigError for a name that means two things."""
    seasonal = [term.name for term in seasonalities]
    conditions = [term.condition_name for term in seasonalities if term.condition_name is not None]
    for name in columns:
        if name in conditions:
            raise ConfigError(
                f"{name!r} is the condition of a seasonality, known for the future without being named; as a regressor "
                "it would get an effect of its own. Leave it out of known and regressors"
            )
    for kind, names in (("regressor", columns), ("condition", conditions)):
        mixed = [name for name in names if name in seasonal]
        if mixed:
            raise ConfigError(f"{listed(map(repr, mixed))} names both a seasonality and a {kind}; rename one of them")


def _check_holidays(model: Arguments) -> None:
    """Countries and tables that cannot be read, and names in tables that other terms bear."""
    parts = list(holiday_parts(model.holidays))
    countries = [part for part in parts if isinstance(part, str)] + [
        "KR" for p in parts if isinstance(p, KoreanHolidays)
    ]
    doubled = sorted({word.partition("-")[0] for word in countries} & set(Almanac.of(model.calendar).calendars))
    if doubled:
        raise ConfigError(
            f"holidays and calendar both hold {listed(doubled)}: each day would have two effects that cannot be told "
            "apart. Leave it out of one of them"
        )
    for part in parts:
        if isinstance(part, str):
            _check_word(part, any(isinstance(other, KoreanHolidays) for other in parts))
        elif is_table(part):
            names = dict.fromkeys(table_rows(part).name.tolist())
            for name in names:
                _check_name("a holiday", name)
            columns = [*(term.name for term in regressors_of(model.regressors)), *model.known]
            check_names(names, (term.name for term in model.seasonalities), columns)


def _check_word(word: str, pooled: bool) -> None:
    """ConfigError for what is no country, and for the country that KoreanHolidays() stands for beside it."""
    if "".join(filter(str.isalpha, word.lower())).startswith("koreanholiday"):
        raise ConfigError(f"holidays={word!r} is text; write KoreanHolidays() for the pooled Korean calendar")
    check_country(word)
    if pooled and word.partition("-")[0] == "KR":
        raise ConfigError(
            f"holidays hold {word!r} and KoreanHolidays(), which are the same days: each would have two effects that "
            "cannot be told apart. Leave one of them out"
        )
