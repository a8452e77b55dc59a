"""`sidecar explain config`: every setting that a sidecar starts with, and where it comes from."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
import msgspec
from msgspec import UNSET, structs

from sidecar.cli.boot_options import VariableOption, boot_options, boot_source, log_options, source_name
from sidecar.cli.policy.documents import content_of, give_up
from sidecar.governance.documents.finding import Finding, InvalidDocument, dotted
from sidecar.governance.documents.yaml import Path as DocumentPath
from sidecar.governance.documents.yaml import Tree
from sidecar.governance.policy.authority import FIXED_PLACE, authority_from
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.net import redacted

_COMMAND: Final = "explain config"
_DEFAULT: Final = "default"
_OF_URLS: Final = ("policy.poll", "policy.timeout")


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """One value in its written form. `origin` is a flag, a variable, `FILE:LINE` or `default`."""

    setting: str
    value: str
    origin: str


@click.command("config")
@boot_options
@log_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def explain_config(
    context: click.Context,
    *,
    config: Path | None,
    config_optional: bool,
    authority: Path | None,
    strict: bool,
    log_format: str | None,
    log_level: str,
    form: str,
) -> None:
    """Say what `sidecar run` would start with, given the same flags, variables and file, and where each value is from.

    A flag wins over its variable, a variable over the sidecar file. What the policy itself says is told by
    `sidecar policy explain`.
    """
    del strict, log_format, log_level
    boot = boot_source(context, config, optional=config_optional)
    findings: list[Finding] = []
    there = config is not None and (config.exists() or not config_optional)
    try:
        bootstrap = boot.read(content_of(config, _COMMAND) if config is not None and there else None, findings)
        if authority is not None:
            bootstrap = bootstrap.under(authority_from(authority, content_of(authority, _COMMAND)), findings)
    except InvalidDocument as error:
        give_up(_COMMAND, error)
    if findings:
        give_up(_COMMAND, InvalidDocument(findings))
    values = [*_start(context, config, there=there), *_values(bootstrap)]
    if form == "json":
        click.echo(json.dumps([asdict(value) for value in values], indent=2, ensure_ascii=False))
    else:
        setting_width = max(len(value.setting) for value in values)
        value_width = min(48, max(len(value.value) for value in values))
        for value in values:
            click.echo(f"{value.setting:{setting_width}}  {value.value:{value_width}}  {value.origin}")
    for warning in bootstrap.warnings:
        click.echo(f"warning: {warning}", err=True)
    sys.exit(0)


def _start(context: click.Context, config: Path | None, *, there: bool) -> Iterator[ConfigValue]:
    """The options of the start that are no settings of the sidecar file."""
    for option in context.command.params:
        if not isinstance(option, click.Option) or option.name is None or option.name == "form":
            continue
        if option.name == "authority":
            named = context.params["authority"]
            if named is not None:
                origin = source_name(context, option) or f"found at {FIXED_PLACE}"
                yield ConfigValue("authority", str(named), origin)
        elif isinstance(option, VariableOption) and option.expose_value:
            value = context.params[option.name]
            if option.name == "config" and config is not None and not there:
                value = f"{config} (is not there)"
            if value is not None:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                yield ConfigValue(option.name, text, source_name(context, option) or _DEFAULT)


def _values(bootstrap: Bootstrap) -> Iterator[ConfigValue]:
    sidecar, tree = bootstrap.sidecar, bootstrap.tree
    for field in structs.fields(type(sidecar)):
        path = (field.encode_name,)
        value = getattr(sidecar, field.name)
        if path == ("policy",):
            settings = bootstrap.policy
            if settings is None:
                yield ConfigValue("policy", "the one built in", _DEFAULT)
            else:
                idle = {
                    *(() if settings.url is not UNSET else _OF_URLS),
                    *(() if settings.keys else ("policy.required",)),
                }
                for value in _leaves(bootstrap.policy_tree, path, settings):
                    if value.setting not in idle:
                        yield value
        elif path == ("destinations",):
            yield from _leaves(tree, path, value)
            for name, entry in sidecar.destinations.items():
                if entry.listen is UNSET and bootstrap.listen[name]:
                    listen = ("egress", "listen")
                    text = " ".join(bootstrap.listen[name])
                    yield ConfigValue(dotted((*path, name, "listen")), text, _origin(tree, listen))
        else:
            yield from _leaves(tree, path, value)


def _leaves(tree: Tree, path: DocumentPath, value: object) -> Iterator[ConfigValue]:
    """The single values at `path` and below it; empty lists and mappings are not told."""
    match value:
        case msgspec.UnsetType():
            return
        case msgspec.Struct():
            for field in structs.fields(type(value)):
                yield from _leaves(tree, (*path, field.encode_name), getattr(value, field.name))
        case dict():
            for key, entry in value.items():
                yield from _leaves(tree, (*path, key), entry)
        case list() if any(isinstance(item, msgspec.Struct) for item in value):
            for index, item in enumerate(value):
                yield from _leaves(tree, (*path, index), item)
        case list():
            if value:
                yield ConfigValue(dotted(path), redacted(" ".join(map(str, value))), _origin(tree, path))
        case bool():
            yield ConfigValue(dotted(path), str(value).lower(), _origin(tree, path))
        case _:
            yield ConfigValue(dotted(path), redacted(str(value)), _origin(tree, path))


def _origin(tree: Tree, path: DocumentPath) -> str:
    by = tree.given_by(path)
    if by is not None and path in tree.lines:
        return by
    line = tree.lines.get(path)
    return f"{tree.file}:{line}" if line else _DEFAULT
