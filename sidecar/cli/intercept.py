"""`sidecar intercept`: the rules that bring a service's calls to the sidecar without any change of its own."""

import click

from sidecar.cli.ending import give_up
from sidecar.interception import netfilter
from sidecar.interception.netfilter import RulesRefused
from sidecar.interception.redirection import NFT_REMOVAL, Redirection

_COMMAND = "sidecar intercept"


def _ports(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    del context, parameter
    if value is None:
        return ()
    ports = []
    for word in value.split(","):
        if not word.strip().isdecimal() or not 1 <= int(word) <= 65535:
            raise click.BadParameter(
                f"must be ports between 1 and 65535 with commas between them, got {word.strip()!r}"
            )
        ports.append(int(word))
    return tuple(dict.fromkeys(ports))


@click.command()
@click.option("--ports", callback=_ports, metavar="PORT,...", help="Where the service's calls go, like 80,8080.")
@click.option("--uid", type=int, default=65532, show_default=True, help="As which the sidecar runs: left out.")
@click.option("--to", type=int, default=16007, show_default=True, help="Port of the sidecar's transparent listener.")
@click.option("--print", "show", is_flag=True, help="Print the rules, and change nothing.")
@click.option("--remove", is_flag=True, help="Take the rules out again.")
@click.option(
    "--backend",
    type=click.Choice(["auto", "nft", "iptables", "netlink"]),
    default="auto",
    show_default=True,
    help="Of the rules.",
)
def intercept(*, ports: tuple[int, ...], uid: int, to: int, show: bool, remove: bool, backend: str) -> None:
    """Redirect new TCP connections of this network namespace to PORT,... to the sidecar.

    Needs the capability NET_ADMIN, and no more: an init container has it, the sidecar does not. Run again it replaces
    its own rules, and leaves all others alone.

    Exit codes: 0 the rules are in force, or out; 2 they are not, and why.
    """
    if not ports and not remove:
        give_up(_COMMAND, "--ports: must name at least one port")
    try:
        redirection = Redirection(ports, uid, to) if ports else None
    except ValueError as error:
        give_up(_COMMAND, str(error))
    try:
        tool = backend if backend != "auto" else "nft" if show else netfilter.backend_here()
        if show:
            click.echo(_text(redirection, tool), nl=False)
        elif remove or redirection is None:
            netfilter.remove(tool)
            click.echo("the rules are out")
        else:
            netfilter.write(redirection, tool)
            told = ", ".join(map(str, redirection.ports))
            click.echo(f"TCP to {told} is redirected to {to}, but for uid {uid} ({tool})")
    except RulesRefused as error:
        give_up(_COMMAND, str(error))


def _text(redirection: Redirection | None, tool: str) -> str:
    if redirection is None:
        return NFT_REMOVAL
    if tool == "nft":
        return redirection.nft
    return f"# iptables-restore\n{redirection.iptables(4)}# ip6tables-restore\n{redirection.iptables(6)}"
