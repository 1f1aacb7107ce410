"""The contract in SQL: what `sql/raw_events.sql` takes from `contract.py`, so that a rule is declared once.

The verdict on single lines is in `contract.py`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import get_args

from radar_assets.events import contract
from radar_assets.events.contract import (
    BLANKS,
    DEFAULT_EVENTS,
    KINDS,
    MAX_TEXT,
    PLACEHOLDERS,
    EventType,
    Object,
    Oddity,
    Sequence,
    Text,
    Time,
    fields_of,
    lengths,
)
from radar_assets.events.times import (
    EPOCH,
    EPOCH_DIGITS,
    EPOCH_END,
    MONTHS,
    NO_TIME,
    REARRANGED,
    RFC3339,
    WRITTEN,
)
from radar_assets.lakehouse.sql import SqlModel, literal, load_model

_TEXTS = tuple(name for name, kind in KINDS.items() if lengths(kind))


@cache
def raw_events_model() -> SqlModel:
    """The statement of `raw_events`, with the rules of the contract."""
    return load_model("radar_assets.events", "raw_events").with_fragments(
        max_line_bytes=str(contract.MAX_LINE_BYTES),
        max_payload_bytes=str(contract.MAX_PAYLOAD_BYTES),
        max_member_bytes=str(contract.MAX_MEMBER_BYTES),
        max_depth=str(contract.MAX_DEPTH),
        max_text=str(MAX_TEXT),
        rfc3339=literal(RFC3339),
        clock_tolerance=_interval(contract.CLOCK_TOLERANCE),
        future_tolerance=_interval(contract.FUTURE_TOLERANCE),
        oldest=_timestamp(contract.OLDEST),
        default_type=literal(contract.DEFAULT_TYPE),
        default_event=_case(f"type = {literal(kind)} then {literal(event)}" for kind, event in DEFAULT_EVENTS.items()),
        is_odd=_any(_signs_of_oddities()),
        readings=_struct((name, _reading(name)) for name in KINDS if KINDS[name] not in (Object, Sequence)),
        oddities=_struct((name, _oddity(name)) for name in KINDS),
        # Lists of columns of the same names.
        repaired=_columns((name, _repaired(name)) for name in KINDS),
        warnings=_listed(f"'{name}: ' || {_warning(name)}" for name in KINDS),
        size="case when payload is null then 0 else greatest(2, 1 + coalesce("
        "list_sum(list_transform(payload, lambda member: strlen(member.name) + 2 + member.bytes)), 0)) end",
        **{f"text_of_{name}": _payload_text(place) for place, name in enumerate(fields_of(Object), 1)},
        required_fault=_case(_required_faults()),
    )


def _signs_of_oddities() -> Iterator[str]:
    """Conditions of which an odd line meets one. They are cheap, and some ordinary lines meet them too."""
    for name, kind in KINDS.items():
        # Other values are not read as times, types or positions anyway.
        if kind not in (Time, EventType, Sequence):
            yield f"""not starts_with(sent.{name}, '{"{" if kind is Object else '"'}')"""
    for name in (*fields_of(Time), *fields_of(Sequence)):
        yield f"{name} is null and sent.{name} is not null"
    yield f"type not in ({_types()})"
    yield "event_id is null"
    yield r"case when not is_plain then contains(text, '\u0000') end"
    for name in _TEXTS:
        # In bytes, which need not be counted.
        yield f"strlen({name}) > {MAX_TEXT}"
        if KINDS[name] in PLACEHOLDERS:
            yield f"regexp_full_match({name}, {literal(PLACEHOLDERS[KINDS[name]])})"
        elif KINDS[name] is Text:
            # Empty, or with a blank or control character in front.
            yield f"{name} < '!'"


def _reading(name: str) -> str:
    """A value as text, whole numbers without a fraction; null for values of other types."""
    value = f"sent.{name}"
    number = f"try_cast({value}::varchar as double)"
    return _case(
        (
            f"""starts_with({value}, '"') then {value} ->> '$'""",
            f"regexp_full_match({value}::varchar, '-?[0-9]+') then {value}::varchar",
            f"trunc({number}) = {number} and abs({number}) < 9223372036854775808"
            f" then try_cast({number} as bigint)::varchar",
            f"abs({number}) >= 0.0001 and abs({number}) < 1e15 then {value}::varchar",
        )
    )


def _oddity(name: str) -> str:
    """What is wrong with a value; null if nothing is, or if it is not given."""
    kind, value, text = KINDS[name], f"sent.{name}", f"readings.{name}"
    blank = literal(f"[{BLANKS}]*")
    branches: list[tuple[str, Oddity | None]] = [(f"{value} is null", None)]
    if kind is Object:
        is_empty = f"{value}::varchar = '[]' or regexp_full_match({value} ->> '$', {blank})"
        branches += [(f"starts_with({value}, '{{')", None), (is_empty, Oddity.EMPTY), ("true", Oddity.WRONG_TYPE)]
    elif kind is Sequence:
        branches += [("sequence is null", Oddity.WRONG_TYPE)]
    else:
        branches += [(f"{text} is null", Oddity.WRONG_TYPE)]
    if kind is Time:
        no_time = f"regexp_full_match({text}, {literal(NO_TIME)})"
        branches += [
            (f"coalesce({name}, {_time(text)}) is not null", None),
            (no_time, Oddity.EMPTY),
            ("true", Oddity.UNREADABLE),
        ]
    if kind is EventType:
        branches += [(f"""not starts_with({value}, '"') or lower({text}) not in ({_types()})""", Oddity.UNKNOWN)]
    if bounds := lengths(kind):
        if bounds[0]:
            branches += [(f"regexp_full_match({text}, {blank})", Oddity.EMPTY)]
        if kind in PLACEHOLDERS:
            pattern = literal(PLACEHOLDERS[kind])
            branches += [(f"length({text}) <= {MAX_TEXT} and regexp_full_match({text}, {pattern})", Oddity.PLACEHOLDER)]
        branches += [
            (f"length({text}) > {bounds[1]}", Oddity.TOO_LONG),
            (f"contains({text}, chr(0))", Oddity.NUL_CHARACTER),
        ]
    return _case(f"{condition} then {'null' if oddity is None else literal(oddity)}" for condition, oddity in branches)


def _repaired(name: str) -> str:
    """The usable part of a value."""
    kind, text = KINDS[name], f"readings.{name}"
    dropped = ", ".join(map(literal, (Oddity.WRONG_TYPE, Oddity.EMPTY, Oddity.PLACEHOLDER, Oddity.UNKNOWN)))
    branches = ["not is_odd then " + name, f"oddities.{name} in ({dropped}) then null"]
    if kind is Time:
        branches.append(f"true then coalesce({name}, {_time(text)})")
    elif kind is EventType:
        branches.append(f"true then lower({text})")
    elif bounds := lengths(kind):
        usable = f"replace({text}, chr(0), {literal(contract.REPLACEMENT)})"
        if kind in PLACEHOLDERS:
            start = bounds[1] - contract.HASH_CHARACTERS - 1
            cut = f"left({usable}, {start}) || '-' || md5({usable})"
        else:
            cut = f"left({usable}, {bounds[1]})"
        branches += [f"oddities.{name} = {literal(Oddity.TOO_LONG)} then {cut}", f"true then {usable}"]
    else:
        branches.append(f"true then {name}")
    return _case(branches)


def _time(text: str) -> str:
    """A time that is not written as most SDKs do, as a timestamp; null if it can't be read."""
    units = _case(
        f"length(parts.whole) between 1 and {digits} then "
        + (
            f"parts.whole || left(rpad(parts.fraction, {added}, '0'), {added})"
            if added >= 0
            else f"left(parts.whole, length(parts.whole) - {-added})"
        )
        for digits, added in EPOCH_DIGITS.items()
    )
    epoch = f"make_timestamp(try_cast({units} as bigint))"
    since_1970 = _parts(
        text, EPOCH, ("whole", "fraction"), f"case when {epoch} < {_timestamp(EPOCH_END)} then {epoch} end"
    )
    for pattern, replacement in REARRANGED:
        text = f"regexp_replace({text}, {literal(pattern)}, {literal(replacement)})"
    month = (
        f"case when length(parts.mon) = 3 then ((strpos('{MONTHS}', parts.mon) + 2) // 3)::varchar else parts.mon end"
    )
    at = (
        f"try_cast(parts.y || '-' || {month} || '-' || parts.d || ' ' || lpad(parts.h, 2, '0') || ':' || lpad(parts.m, 2, '0')"
        " || ':' || lpad(parts.s, 2, '0') || '.' || rpad(left(parts.f, 6), 6, '0') as timestamp)"
        " - to_minutes(coalesce(try_cast(parts.sign || parts.zh as integer), 0) * 60"
        " + coalesce(try_cast(parts.sign || parts.zm as integer), 0))"
    )
    written = _parts(text, WRITTEN, ("y", "mon", "d", "h", "m", "s", "f", "sign", "zh", "zm"), at)
    return f"coalesce({since_1970}, {written})"


def _parts(text: str, pattern: str, names: Iterable[str], expression: str) -> str:
    """An expression over the named `parts` that a pattern finds in a text."""
    listed = ", ".join(map(literal, names))
    whole = literal(rf"^(?:{pattern})\z")
    found = f"regexp_extract({text}, {whole}, [{listed}])"
    return f"list_transform([{found}], lambda parts: {expression})[1]"


def _payload_text(place: int) -> str:
    """A payload that was taken apart, as JSON."""
    members = f"list_transform(members[{place}], lambda member: member.name || ':' || member.value)"
    return f"'{{' || array_to_string({members}, ',') || '}}'"


def _warning(name: str) -> str:
    """The oddity of a field after all others were looked at; null if there is none."""
    found = f"oddities.{name}"
    if KINDS[name] is Object:
        large, twice = literal(Oddity.TOO_LARGE), literal(Oddity.DUPLICATE_KEY)
        position = 2 + fields_of(Object).index(name)
        return f"case when is_cut_{name} then {large} when have_duplicates[{position}] then {twice} else {found} end"
    if name == "event_id":
        return f"case when is_hashed then coalesce({found}, {literal(Oddity.MISSING)}) else {found} end"
    if name == "sent_at":
        return f"case when is_sent_before then {literal(Oddity.BEFORE_TIMESTAMP)} else {found} end"
    if name == "timestamp":
        return (
            f"case when corrected_time < {_timestamp(contract.OLDEST)} then {literal(Oddity.TOO_OLD)}"
            f" when corrected_time > received_at + {_interval(contract.FUTURE_TOLERANCE)}"
            f" then {literal(Oddity.IN_THE_FUTURE)} else {found} end"
        )
    return found


def _required_faults() -> Iterator[str]:
    """Faults of required fields, in the order of the reasons."""
    required = [name for name in KINDS if name in contract.REQUIRED]
    for name in required:
        yield f"{name} is null and oddities.{name} = {literal(Oddity.WRONG_TYPE)} then 'wrong_type: {name}'"
    yield (
        f"event is null and oddities.type = {literal(Oddity.UNKNOWN)}"
        " then 'unknown_type: type: ' || left(readings.type, 100)"
    )
    for name in required:
        yield (
            f"{name} is null and coalesce(oddities.{name}, '') <> {literal(Oddity.UNREADABLE)}"
            f" then 'missing_field: {name}: not given'"
        )
    for name in fields_of(Time):
        if name in contract.REQUIRED:
            yield f"{name} is null then 'invalid_timestamp: {name}: ' || left(readings.{name}, 100)"


def _listed(texts: Iterable[str]) -> str:
    return f"concat_ws(', ', {', '.join(texts)})"


def _types() -> str:
    return ", ".join(map(literal, get_args(EventType)))


def _case(branches: Iterable[str]) -> str:
    return f"case {' '.join(f'when {branch}' for branch in branches)} end"


def _any(conditions: Iterable[str]) -> str:
    return f"coalesce({' or '.join(f'({condition})' for condition in conditions)}, false)"


def _struct(fields: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"'{name}': {expression}" for name, expression in fields) + "}"


def _columns(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{expression} as {name}" for name, expression in columns)


def _interval(duration: timedelta) -> str:
    return f"(interval {int(duration.total_seconds())} seconds)"


def _timestamp(at: datetime) -> str:
    return f"(timestamp '{at}')"
