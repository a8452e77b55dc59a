"""Everything `sidecar run` can be told, as flags and as environment variables: SIDECAR_LISTEN is --listen.

Flags win over variables, variables over the sidecar file. A variable that is set and empty is not set.
"""

import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from sidecar.cli.authority import authority_option
from sidecar.governance.documents.given import Given
from sidecar.governance.policy.bootstrap import BootSource
from sidecar.telemetry.log import Format, LogLevel

F = TypeVar("F", bound=Callable[..., Any])

PREFIX: Final = "SIDECAR_"
_GIVEN: Final = "sidecar.given"

_OTHER_VARIABLES: Final = frozenset({"SIDECAR_AUTHORITY"})
_SERVICE_LINK_ENDINGS: Final = ("_SERVICE_HOST", "_PORT")
"""Of the variables that Kubernetes sets in every pod beside a Service whose name begins with `sidecar`."""


class VariableOption(click.Option):
    """An option whose errors name the variable where that is what was wrong."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """The flag, or the variable."""
        return source_name(ctx, self) or super().get_error_hint(ctx)


def source_name(context: click.Context | None, option: click.Option) -> str | None:
    """The flag or variable by which the option was given; None where it was not."""
    source = None if context is None or option.name is None else context.get_parameter_source(option.name)
    if source is ParameterSource.ENVIRONMENT and isinstance(option.envvar, str):
        return option.envvar
    return option.opts[0] if source is ParameterSource.COMMANDLINE else None


def variable(flag: str) -> str:
    """The variable of a flag: `--drain-timeout` is SIDECAR_DRAIN_TIMEOUT."""
    return PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def _keep(context: click.Context, option: click.Parameter, value: str | tuple[str, ...] | None) -> None:
    """Keep the words of an option as a Given, where it was given."""
    assert isinstance(option, click.Option)
    assert option.name is not None
    by = source_name(context, option)
    if by is not None and value:
        words = (value,) if isinstance(value, str) else value
        context.meta.setdefault(_GIVEN, []).append(Given(by, option.name, words))


def _setting(
    flag: str, setting: str, help_line: str, *, metavar: str, multiple: bool = False, envvar: str | None = None
) -> Callable[[F], F]:
    """The option of a setting of the sidecar file."""
    return click.option(
        flag,
        setting,
        cls=VariableOption,
        multiple=multiple,
        metavar=metavar,
        envvar=envvar or variable(flag),
        show_envvar=True,
        expose_value=False,
        callback=_keep,
        help=help_line,
    )


_SETTINGS: Final = (
    _setting("--service", "service", "The name of the service. [default: service]", metavar="NAME"),
    _setting(
        "--upstream",
        "upstreams",
        "A destination; the same name again adds an endpoint. In the variable, several with blanks between them.",
        metavar="NAME=URL",
        multiple=True,
        envvar="SIDECAR_UPSTREAMS",
    ),
    _setting(
        "--listen",
        "listen",
        "Where requests come in; NAME=ADDRESS is a port of one destination's own. [default: loopback, port 16001]",
        metavar="ADDRESS",
        multiple=True,
    ),
    _setting(
        "--transparent-listen",
        "transparent_listen",
        "Where connections come in that `sidecar intercept` redirects.",
        metavar="ADDRESS",
        multiple=True,
    ),
    _setting("--policy", "policy", "The fleet's policy: a file or an https URL.", metavar="FILE|URL"),
    _setting("--policy-ca", "policy_ca", "The authority that the URL's certificate is of.", metavar="FILE"),
    _setting("--policy-cache", "policy_cache", "Where the last good policy is kept.", metavar="FOLDER"),
    _setting("--mode", "mode", "enforce, or observe: only count what the policy would do.", metavar="MODE"),
    _setting("--admin", "admin", "Where the admin plane listens. [default: loopback, port 16000]", metavar="ADDRESS"),
    _setting(
        "--metrics-listen",
        "metrics_listen",
        "Where /livez, /readyz and /metrics are to be had from other machines, too.",
        metavar="ADDRESS",
    ),
    _setting("--ingress-app", "ingress_app", "The service itself, for requests that come to it.", metavar="URL"),
    _setting(
        "--ingress-listen", "ingress_listen", "Where those come in. [default: all addresses, port 16006]",
        metavar="ADDRESS",
    ),
    _setting(
        "--drain-timeout", "drain_timeout", "How long SIGTERM waits for what is in flight. [default: 25s]",
        metavar="DURATION",
    ),
    _setting(
        "--minimum-drain", "minimum_drain", "How long requests are served at least after SIGTERM. [default: 0s]",
        metavar="DURATION",
    ),
)  # fmt: skip


def _plain(flag: str, **settings: Any) -> Callable[[F], F]:
    return click.option(flag, cls=VariableOption, envvar=variable(flag), show_envvar=True, **settings)


def boot_options(command: F) -> F:
    """The options of what a sidecar starts from: `config`, `config_optional`, `authority` and `strict` of a command."""
    for option in reversed(
        (
            _plain("--config", type=click.Path(path_type=Path), help="The service's sidecar file."),
            _plain("--config-optional", is_flag=True, help="Start without that file where there is none."),
            *_SETTINGS,
            authority_option,
            _plain(
                "--strict", is_flag=True, help="Refuse to start without a valid policy, instead of on the built-in one."
            ),
        )
    ):
        command = option(command)
    return command


def log_options(command: F) -> F:
    """The options of what is logged: `log_format` and `log_level`."""
    formats, levels = [style.value for style in Format], [level.value for level in LogLevel]
    for option in reversed(
        (
            _plain("--log-format", type=click.Choice(formats), help="[default: console on a terminal, else json]"),
            _plain("--log-level", type=click.Choice(levels), default="info", show_default=True),
        )
    ):
        command = option(command)
    return command


def boot_source(context: click.Context, config: Path | None, *, optional: bool) -> BootSource:
    """The command's flags and variables as a BootSource. Ends the command where they name nothing to call."""
    given: list[Given] = context.meta.get(_GIVEN, [])
    if config is None and optional:
        raise click.UsageError(f"{_named(context, 'config_optional')} goes with --config: it says what may be missing")
    if config is None and not any(each.setting in ("upstreams", "ingress_app") for each in given):
        raise click.UsageError(
            "say what to call: --config FILE (SIDECAR_CONFIG), or --upstream NAME=URL (SIDECAR_UPSTREAMS)"
        )
    return BootSource(config, tuple(given), optional, tuple(unknown_variables(os.environ, context)))


def unknown_variables(environ: Mapping[str, str], context: click.Context) -> list[str]:
    """A warning for each variable that is nearly one of ours: it has no effect, and is likely a typo."""
    known = _OTHER_VARIABLES | {option.envvar for option in context.command.params if isinstance(option.envvar, str)}
    warnings = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or _is_service_link(name):
            continue
        nearest = get_close_matches(name, known, n=1, cutoff=0.8)
        if nearest:
            warnings.append(f"the variable {name} is not known and does nothing; did you mean {nearest[0]}?")
    return warnings


def _is_service_link(name: str) -> bool:
    return name.endswith(_SERVICE_LINK_ENDINGS) or "_PORT_" in name


def _named(context: click.Context, name: str) -> str:
    option = next(each for each in context.command.params if each.name == name)
    assert isinstance(option, click.Option)
    return source_name(context, option) or option.opts[0]
