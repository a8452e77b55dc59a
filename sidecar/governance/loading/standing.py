"""The words for how the policy in force came to be: the same in metrics, logs and views."""

from enum import Enum


class PolicyOrigin(Enum):
    """The origin of the policy in force."""

    SOURCE = "source"
    """From where the sidecar file says, or is compiled in because it names none."""
    COPY = "copy"
    """The last good one that was kept on disk: the source gave none that holds."""
    PREVIOUS = "previous"
    """From where the sidecar file says the policy before is, for a rollout has not reached this pod."""
    BASELINE = "baseline"
    """Compiled in: no valid policy could be had."""


class RolloutState(Enum):
    """The relation of a pod to the version that its source offers."""

    NONE = "none"
    """The version is for every pod, and in force."""
    ADOPTED = "adopted"
    """The version is for some pods, this one among them: in force and, if so asked, watched."""
    HELD = "held"
    """The version is for some pods, and not for this one: an older policy is in force."""
    DRY_RUN = "dry_run"
    """The version is only tried: an older policy is in force, and what would differ is counted."""
    ABORTED = "aborted"
    """The version was in force here and amplified: an older policy is in force, until another version comes."""
