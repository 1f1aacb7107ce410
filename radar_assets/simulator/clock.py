"""Time in the simulator: integer milliseconds since 1970, UTC."""

from datetime import datetime, timedelta

from radar_assets.windows import HOUR

_EPOCH, _MILLISECOND = datetime(1970, 1, 1), timedelta(milliseconds=1)

HOUR_MS = HOUR // _MILLISECOND


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of a naive UTC datetime."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(epoch_ms: int) -> datetime:
    """The naive UTC datetime of milliseconds since 1970."""
    return _EPOCH + epoch_ms * _MILLISECOND
