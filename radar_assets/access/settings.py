"""The settings of limits."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from radar_assets import urls
from radar_assets.environment import EnvironmentSettings


class LimitSettings(EnvironmentSettings):
    """Limits: how many events projects without limits of their own may send."""

    events_per_second: int | None = Field(
        default=None,
        ge=1,
        description="Maximum events per second for each project without a limit of its own. Default: unlimited.",
    )
    events_per_month: int | None = Field(
        default=None,
        ge=1,
        description="Maximum events per calendar month (UTC) for each project without a limit of its own. Default: unlimited.",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(urls.redis_url)] = Field(
        default=None,
        description="Redis server on which workers share their counts for events_per_second. Default: each worker counts for itself.",
    )
