"""How the simulator counts time: whole milliseconds from 1970, UTC."""

from datetime import datetime, timedelta

from radar_assets.windows import HOUR

_EPOCH, _MILLISECOND = datetime(1970, 1, 1), timedelta(milliseconds=1)

HOUR_MS = HOUR // _MILLISECOND


def epoch_ms(moment: datetime) -> int:
    """Milliseconds from 1970 to a naive UTC datetime."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(epoch_ms: int) -> datetime:
    """The naive UTC datetime so many milliseconds after 1970."""
    return _EPOCH + epoch_ms * _MILLISECOND
