"""Loads the one SDK module that warns when it is loaded, of a resource of its own that nobody uses here."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    # The SDK loads its modules when something of them is used.
    from pulumi_command.remote import Command as Command
