-- The lines of the landing zone by DuckDB's own reader of text, a column without separators.
select
    strptime(regexp_extract(filename, 'dt=[0-9-]+/hr=[0-9]+'), 'dt=%Y-%m-%d/hr=%H') as received_hour,
    regexp_extract(filename, '([^/]+)\.ndjson$', 1) as segment,
    cast(null as bigint) as line_number,
    cast(null as varchar) as problem,
    cast(null as blob) as line,
    text
from read_csv(
    $files,
    columns = { 'text': 'varchar' },
    header = false,
    auto_detect = false,
    delim = '\x01',
    quote = '',
    escape = '',
    filename = true
)
