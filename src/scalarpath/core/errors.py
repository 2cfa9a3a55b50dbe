"""The exceptions a user of scalarpath can meet: each message is one sentence that names the place and the fix."""


class ScalarPathError(Exception):
    """Base of every error that the user can mend; command lines print it without a traceback and exit with status 2."""


class ConfigError(ScalarPathError):
    """A setting is unknown, out of range, or contradicts another one."""


class TrustError(ConfigError):
    """A file names code from outside of scalarpath that the user has not said to trust."""


class InUseError(ConfigError):
    """A run directory that another job is writing to."""


class DataError(ScalarPathError):
    """A file, a frame or a label is missing, malformed or inconsistent."""


class GraphError(DataError):
    """A structure from which no usable neighbour list can be made."""


class CheckpointError(ScalarPathError):
    """A checkpoint or run directory is missing, incomplete or does not fit the request."""


class UpstreamError(ScalarPathError):
    """An upstream model that cannot be imported faithfully, or not be made where its package is."""


class TrainingError(ScalarPathError):
    """A training run that cannot go on: the loss is no longer finite."""


class ArtifactError(ScalarPathError):
    """A physical artifact that cannot be measured as asked: unknown material, impossible settings, missing property."""


class ReportError(ScalarPathError):
    """Runs that must not be compared, or that are not there."""
