"""Operations on the configuration: show, validate, plan and apply a candidate file."""

from __future__ import annotations

from evse.api import models as m
from evse.api.errors import ApiError, ErrorCode
from evse.api.operations import Empty
from evse.api.service import Caller
from evse.config.load import parse_config
from evse.config.model import StationConfig
from evse.config.options import diff, redact
from evse.config.save import save_config
from evse.domain.base import ConfigError
from evse.runtime.station import Station
from evse.runtime.weakening import may_weaken, weakened


class ConfigOperations:
    """``config.*``. A version counts the applied changes since the daemon started."""

    _station: Station
    _config_version: int = 1

    async def config_show(self, request: Empty, caller: Caller) -> m.ConfigText:
        """The file in force; secrets are masked."""
        path = self._station.config_path
        if path is None:
            raise ApiError(ErrorCode.NOT_FOUND, "this station runs without a configuration file")
        return m.ConfigText(path=str(path), text=redact(path.read_text(encoding="utf-8")), version=self._config_version)

    async def config_validate(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        """All errors at once, and what would change."""
        return self._plan(request.text)[1]

    async def config_apply(self, request: m.ConfigCandidate, caller: Caller) -> m.ConfigResult:
        """Write the file and put live options in force; the rest waits for a restart and says so."""
        if request.if_version is not None and request.if_version != self._config_version:
            raise ApiError(
                ErrorCode.CONFLICT,
                f"the configuration has version {self._config_version}, not {request.if_version}",
                "somebody changed it meanwhile; look with: evsectl config diff",
            )
        config, result = self._plan(request.text)
        if config is None:
            raise ApiError(ErrorCode.INVALID, "\n".join(result.problems), "nothing was changed")
        path = self._station.config_path
        if request.dry_run or not result.changes or path is None:
            return result
        may_weaken(weakened(self._station.file_config, config), True, caller)
        save_config(path, request.text, self._station.clock.wall())
        self._config_version += 1
        await self._station.change_config(config, caller.user)
        return m.ConfigResult(
            valid=True,
            problems=(),
            changes=result.changes,
            applied=True,
            restart_needed=result.restart_needed,
            version=self._config_version,
        )

    def _plan(self, text: str) -> tuple[StationConfig | None, m.ConfigResult]:
        where = str(self._station.config_path or "candidate")
        try:
            config = parse_config(text, where)
        except ConfigError as error:
            return None, m.ConfigResult(
                valid=False,
                problems=tuple(error.problems),
                changes=(),
                applied=False,
                restart_needed=False,
                version=self._config_version,
            )
        changes = tuple(
            m.ConfigChange(key=key, old=old, new=new, apply=apply)
            for key, old, new, apply in diff(self._station.file_config, config)
        )
        return config, m.ConfigResult(
            valid=True,
            problems=(),
            changes=changes,
            applied=False,
            restart_needed=any(c.apply == "restart" for c in changes),
            version=self._config_version,
        )
