"""tailspan's Pulumi program."""

from stack import program

program()
