"""What can go wrong with the embedded stack, said so that its user can act on it."""


class LocalStackError(Exception):
    """The embedded stack could not do what was asked; the message says why and what to change."""


class TemplateError(LocalStackError):
    """The template (or a parameter given for it) cannot be deployed as written."""


class UnsupportedError(TemplateError):
    """The template uses a resource type, property or function that has no local counterpart."""


class EmulatorMismatchError(LocalStackError):
    """The installed moto is not the one that the embedded stack was written against."""


class AlreadyRunningError(LocalStackError):
    """This process runs a stack already; moto keeps its state per process, so one is the limit."""
